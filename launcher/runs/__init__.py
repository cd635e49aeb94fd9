"""A run on a cluster: submit it, look it up, follow it, explain its state."""
