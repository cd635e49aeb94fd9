"""What a run tells while it trains: log lines, wandb, TensorBoard, Prometheus, profiles."""
