"""Whether loops can be compiled here."""

from importlib.util import find_spec

AVAILABLE = find_spec("numba") is not None
"""Whether numba is installed; it is imported where it is needed alone, since that takes half a second."""
