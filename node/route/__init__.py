"""Complete study to jobs, with the trace of why; and what other routes would have decided.

Tests: `reroute` is tested in `tests/test_again.py`, on a node with studies that were processed; `recorded`,
`trial_reading`, `trial_cost` and `changes` with `trial`, `stored_facts` with `dispatch` and `facts_reader`.
"""
