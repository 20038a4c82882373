"""What `make demo` starts: the harness and the sample studies."""
