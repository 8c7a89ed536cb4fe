"""HTTP servers of the agent: health and metrics.

    HealthState   pure: what happened when -> healthy, ready, eligible      (owner: sync loop)
    AgentMetrics  numbers, and how they are written                         (owner: sync loop)
    HttpServer    a few GET paths on one address, bound as soon as it can be
      HealthServer    /healthz /livez /readyz
      MetricsServer   /metrics /proxyMode /healthz

The servers only read, in the event loop of the agent, so what they see is never half changed.
"""
