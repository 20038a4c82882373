"""What `make demo` starts: the harness and the sample studies.

Tests: `tests/node/demo/test_demo.py` runs the demo as a process, which covers `__main__`, `configuration`,
`orthanc_process` and `result_archive`.
"""
