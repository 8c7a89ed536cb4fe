"""What the cluster says: service ports, endpoints, the own node."""
