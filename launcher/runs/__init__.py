"""A run on a cluster: submitted, found, followed and explained."""
