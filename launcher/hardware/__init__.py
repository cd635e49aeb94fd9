"""What a slice is: chips, hosts, topologies and the labels that place pods on them."""
