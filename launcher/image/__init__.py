"""An image for the pods without Docker: base layers by reference, a layer of packages, a layer of code."""
