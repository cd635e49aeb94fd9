"""The API server: how it is found, asked and understood."""
