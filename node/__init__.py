"""The service: everything that moves."""
