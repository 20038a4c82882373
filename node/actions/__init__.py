"""What operators do to a running node, from the page, the API and the command line: each is audited with who."""
