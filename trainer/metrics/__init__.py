"""Metrics of a run while it trains: log lines, wandb, TensorBoard, Prometheus, profiles."""
