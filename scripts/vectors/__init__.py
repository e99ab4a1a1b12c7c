"""What `make_vectors.py` makes, one module a part; each has `make()`, which yields paths and their contents."""
