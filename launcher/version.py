"""The version of both packages, also the tag of their images."""

__version__ = "0.1.0"
