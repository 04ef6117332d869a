"""Measures the service beside references that run in the same run; ``python -m tests.benchmarks.run``."""
