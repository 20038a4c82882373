"""Tells people when something is wrong with the node, or when there are results of a kind."""
