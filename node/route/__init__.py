"""Complete study to jobs, with the trace of why."""
