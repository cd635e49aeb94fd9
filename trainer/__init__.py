"""What runs in each pod: join, mesh, data, train, checkpoint."""

__version__ = "0.1.0"
