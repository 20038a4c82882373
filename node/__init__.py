"""The service: everything that moves.

Tests: `errors` holds classes without code.
"""
