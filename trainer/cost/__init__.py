"""What a compiled program costs: FLOPs, bytes, collectives, utilisation."""
