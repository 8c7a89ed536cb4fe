"""How fast and how small: `python -m benchmarks`, by `make bench`.

The parts `agent` and `bytes` measure an agent as a process::

    stand-in (a process)  --+                 private node (lab)
    or a real API server  --+-- kubeconfig --> agent (a process) --> kernel rules
            ^               relay                 |  CPU and memory from /proc
            |                                     v
         changes <------------- measure -----> TCP connections of a pod through ClusterIPs

Every duration ends with a TCP connection that was answered by the right endpoint, or it does not
end. Any agent that takes a kubeconfig can be measured (`--agent`), so that two of them can be
compared on one machine.

The parts `changes` and `datapath` measure this project's sync loop in this process::

    changes:   steps of subjects -> state, plan, backend -> kernel's confirmation
    datapath:  pod, client -> node with few or many Services -> echo (a process)

Modules: `options` and `__main__` (the command), `figures`, `targets` and `table` (what comes of
it).
Of the process: `runs` (what is done at which size), `measure` (single measurements), `cluster`,
`standin` and `realserver` (whom the agent follows), `api` and `relay` (connections), `site` (the
node) and `process` (the agent).
Of the sync loop: `objects` (Services and slices), `mixture` (the cluster), `programmed` (the loop
over a real socket); `subjects`, `cast` and `changes` (what changes, who, and what it took); `ways`,
`calls`, `echo` and `datapath` (packets).
"""
