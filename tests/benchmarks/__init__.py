"""Measures the service next to reference implementations in the same run: ``python -m tests.benchmarks.run``."""
