"""Tells people when something is wrong with the node, or when there are results of a kind.

`engine` looks at what the rules of the configuration ask for (`conditions`, `machine`, `results`) and writes down what
begins and ends; one `telling` for each channel tells what is due. `operations` is what an operator does with it.

Tests: `telling` is tested with `engine`, whose tests tell real servers.
"""
