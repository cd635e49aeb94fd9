"""A directory of code, packed for a run: what is in it, its archive, and its place in a bucket."""
