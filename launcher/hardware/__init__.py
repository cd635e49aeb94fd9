"""Slices of hardware: chips, hosts, topologies and the labels that place pods on them."""
