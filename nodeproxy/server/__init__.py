"""HTTP servers of the agent, on a thread of their own: health, metrics, health checks of Services.

    Servers         all of them; a part of the agent, and what the sync loop tells
      LoopThread      an event loop on a thread
      HttpServer      a few paths on one address, bound as soon as it can be
        HealthServer    /healthz /livez /readyz                     reads HealthState
        MetricsServer   /metrics, pages about the process, /debug   reads AgentMetrics
      ServiceHealthServers   a port for each Service that has one
        CheckBook              what the plan wants, and what is answered    (owner: sync loop)
        ServiceListeners       the sockets                                  (owner: the thread)

The sync loop writes, the thread reads: values are replaced as a whole, never changed in place
(docs/decisions/0015-servers-on-a-thread.md).
"""
