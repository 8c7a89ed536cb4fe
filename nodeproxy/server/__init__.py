"""HTTP servers of the agent: health and metrics."""
