"""The API server: connect to it, send requests, explain its refusals."""
