"""What this node should do with packets to Services, independent of any backend."""
