"""A pipeline on files: without a node, a database or a job engine.

`condyle run` and ``import condyle`` are two doors to it. What it writes is what a node would send to a folder, byte for
byte, and beside it the numbers, the pictures and the volumes in the forms that other programs read.
"""
