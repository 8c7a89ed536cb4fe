"""What an earlier proxy left on this node: find it, show it, remove it when told.

rules.py      whose is what in an iptables table, and what takes it away   (text to text)
xtables.py    iptables in both flavours and families
ipvs.py       virtual servers, ipsets, the interface kube-ipvs0
processes.py  who would write it again
search.py     all of it for one origin
"""
