"""Network dissection: which concepts the units of a network detect, and how far an attack moves them."""
