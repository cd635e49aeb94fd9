"""Bringing a run to this machine: its small files, and a checkpoint."""
