"""One process among hosts: joining, agreeing, ending. Imports the standard library only."""

from trainer.runtime.joining import join

__all__ = ["join"]
