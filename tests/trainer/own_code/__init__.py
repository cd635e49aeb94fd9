"""A package of somebody else: networks, a dataset and a recipe of their own, as docs/guides describe them."""
