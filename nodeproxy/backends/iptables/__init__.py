"""iptables: a tree of chains, changed chain by chain through iptables-restore."""
