"""One process among hosts: joining, agreeing, ending."""
