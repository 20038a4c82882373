"""What each command of `condyle` does; one module a command, imported only when it is called.

Tests: each command is run as a process in `tests/node/test_main.py`, as a user runs it; that covers `check`,
`example_results`, `exit_codes`, `import_`, `jobs`, `model`, `open_database`, `route`, `send`, `serve`, `terminal` and
`version`; `erase`, `reroute` and `resend` are called in `tests/test_again.py`. What they call has its own tests.
"""
