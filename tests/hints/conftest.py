"""Fixtures of the tests of hints."""

from commands_on_api import on_api

__all__ = ["on_api"]
