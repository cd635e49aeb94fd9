"""From encoded bytes to the pixels of a crop."""
