"""One page over many runs: a table, their curves and their settings side by side."""
