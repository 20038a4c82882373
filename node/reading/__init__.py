"""What others sent is read here, away from the process that records, decides, sends and serves the page.

`Readers` keeps processes with limits of memory, time and open files. They may die: a file that a library cannot cope
with ends its reader and nothing else, and the next one is there for the next file. `HERE` is the same without another
process: for commands that read an operator's own files.

Tests: tests/node/reading/test_readers.py runs all of it, `messages` and `__main__` included.

What a reader died of is named by whoever asked, who leaves it aside after a few attempts.
"""

from node.reading.readers import HERE, Reader, Readers

__all__ = ["HERE", "Reader", "Readers"]
