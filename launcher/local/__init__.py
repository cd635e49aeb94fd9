"""The JobSet of a cluster, run on this machine with one process per pod."""
