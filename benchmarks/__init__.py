"""Benchmarks: one file, one question. Run from the root of the project: ``python -m benchmarks.training``."""
