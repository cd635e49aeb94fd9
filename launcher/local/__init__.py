"""The JobSet of a cluster, run on this machine with a process per pod."""
