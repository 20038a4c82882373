"""What operators may do, from the page, the command line or elsewhere: each action can say beforehand what it will do,
and leaves a line in the audit trail with who did it.

Tests: `studies` and `desk` are tested in `tests/test_operating.py`, on a node with studies that were processed.
"""
