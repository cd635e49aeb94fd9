"""Fixtures of the launcher's tests."""

from commands_on_api import on_api

__all__ = ["on_api"]
