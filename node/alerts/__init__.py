"""Tells people when something is wrong with the node, or when there are results of a kind.

`engine` looks at what the rules of the configuration ask for (`conditions`, `machine`, `results`), has the database
write down what begins and ends, and leaves what is to be told to one `telling` for each channel. `operations` is what an
operator does with it.

Tests: `telling` is tested with `engine`, whose tests tell real servers.
"""
