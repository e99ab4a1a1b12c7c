"""`mobie serve`: the components of a model folder, and clips, for a host at the other end of a pipe.

docs/process-backend.md describes the protocol.
"""
