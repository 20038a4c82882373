"""What readers say about results: read from what comes in, matched with the result, and stored beside it.

Tests: `verdict` is tested in `test_storing.py`, `matching` and `reading` in `test_intake.py`.
"""
