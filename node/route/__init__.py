"""Complete study to jobs, with the trace of why.

Tests: `reroute` is tested in `tests/test_again.py`, on a node with studies that were processed.
"""
