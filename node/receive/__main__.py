"""`python -m node.receive CONFIG`: a receiver process, with as little in its memory as it needs."""

from __future__ import annotations

import sys
from pathlib import Path

# pydicom imports every decoder it finds, and they NumPy: 33 MB and 0.3 s for a process that decodes no pixel
UNUSED = ("numpy", "PIL", "gdcm", "pylibjpeg", "openjpeg", "rle", "libjpeg", "jpeg_ls", "jpegls", "requests")


def main() -> None:
    """Receive with the configuration that the first argument names."""
    for name in UNUSED:
        sys.modules[name] = None  # type: ignore[assignment]  # to an import that is as good as not installed
    from node import log
    from node.errors import NodeError, PeerUnavailable
    from node.processes import FAILED, end_with_parent, say
    from node.receive.process import serve

    end_with_parent()
    log.configure()
    try:
        serve(Path(sys.argv[1]))
    except NodeError as error:
        say(FAILED, error)
        sys.exit(error.exit_code)
    except OSError as error:  # a folder that cannot be made, a disk that is full
        say(FAILED, f"{error.filename or 'node.data'}: {error.strerror or type(error).__name__}")
        sys.exit(PeerUnavailable.exit_code)


if __name__ == "__main__":
    main()
