"""`python -m demo`: the real agent on a private node, with real packets, told step by step.

It is a test as well: the exit code is 0 only if everything went as it should.
"""
