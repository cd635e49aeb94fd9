"""The version of both packages, which is also the tag of their images."""

__version__ = "0.1.0"
