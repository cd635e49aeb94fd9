"""What runs in each pod: join, mesh, data, train, checkpoint."""
