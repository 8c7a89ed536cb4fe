"""How fast and how small: `python -m benchmarks`, by `make bench`.

::

    stand-in (a process)  --+                 private node (lab)
    or a real API server  --+-- kubeconfig --> agent (a process) --> kernel rules
            ^               relay                 |  CPU and memory from /proc
            |                                     v
         changes <------------- measure -----> TCP connections of a pod through ClusterIPs

Every duration ends with a TCP connection that was answered by the right endpoint, or it does not
end. Any agent that takes a kubeconfig can be measured (`--agent`), so that two of them can be
compared on one machine.

Parts: `options` and `__main__` (the command), `runs` (what is done at which size), `measure`
(single measurements), `cluster`, `standin` and `realserver` (whom the agent follows), `api` and
`relay` (connections), `site` (the node) and `process` (the agent), `figures`, `targets` and
`table` (what comes of it).
"""
