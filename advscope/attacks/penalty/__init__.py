"""The optimisation core of the attacks that minimise a penalty for failing plus a size; nothing public in itself."""
