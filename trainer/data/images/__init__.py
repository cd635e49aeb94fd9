"""Decoding of encoded images, and the crops that batches show."""
