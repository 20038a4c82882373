"""`python -m node.receive CONFIG`: the receiver alone."""

from __future__ import annotations

import sys
from pathlib import Path

from node import log
from node.config import read
from node.receive.process import serve

if __name__ == "__main__":
    log.configure()
    serve(read(Path(sys.argv[1])))
