"""Flows that outlived their endpoint: found in connection tracking and deleted.

decided (sync loop) --> book: which service ports to look at
installed           --> due
                          |   cleaner: a task of its own
                          +-> judge: which flow is stale          pure
                          +-> sweep: one look at the table        in a thread, slice by slice
"""
