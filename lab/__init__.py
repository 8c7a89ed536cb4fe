"""A private node to send real packets through: for the live tests and the demo.

::

    router --- the end    node  192.168.0.2  2001:db8::2       the agent runs here
               of the     |     192.168.1.2  2001:db8:1::2     (further addresses)
               world      |
    client ------ + ------+ eth0                   pod1 +----- eth0  10.244.0.11  fd00:10:244::11
    192.168.0.9   |       |   forwards, no bridge  pod2 +----- eth0  10.244.0.12  fd00:10:244::12
    2001:db8::9   |       |                        ...  +----- ...
    203.0.113.130 |                                crowd+----- eth0  10.244.1.0/24, all of it
                  |
    far-a .. -c - +   10.244.7.11 .. 13, fd00:10:244:7::11 .. 13      pods of another node

Everything is a network namespace without a name, held open by this process alone. The host's
interfaces, routes and rules are never touched, and when this process ends, however it ends, the
kernel removes the namespaces with all that is in them. There is nothing to clean up and nothing
that a dead run could leave behind.

Parts: `namespace` (a namespace and how to act inside it), `topology` and `wiring` (the picture
above: who is there, how they are linked), `server` and `traffic` (who answers, who asks), `lines`
and `sctp` (how they speak), `flows` (what connection tracking made of it), `agent` (the agent's
process), `nft` (what the kernel has), `objects` and `manifests` (Kubernetes objects for it),
`requirements` (what the machine must offer). Nothing here imports nodeproxy: the agent is run as
an operator runs it.
"""
