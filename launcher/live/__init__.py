"""Many runs as they are now: from the watches of a cluster, or from run directories of this machine."""
