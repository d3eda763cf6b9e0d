"""Benchmarks: ratios to something plain run beside, since machines differ; never timed tests."""
