"""A child process that ends when its parent does, even if the parent is killed.

The kernel does it (``PR_SET_PDEATHSIG``): a pipe that the child watches would need a thread there that still runs, and
a write end that no sibling has inherited. A killed receiver loses nothing, so the signal is SIGKILL. The kernel means
the *thread* that started the child; `node.supervise` therefore starts children from the main thread only.
"""

from __future__ import annotations

import ctypes
import os
import signal
import sys
import threading
import time

PARENT_VARIABLE = "CONDYLE_PARENT"  # process id of the parent, set for the child
_PR_SET_PDEATHSIG = 1  # linux/prctl.h


def end_with_parent() -> None:
    """Called first thing by a child process; does nothing in a process that the supervisor did not start."""
    parent = os.environ.get(PARENT_VARIABLE)
    if parent is None or not sys.platform.startswith("linux"):
        return
    ctypes.CDLL(None, use_errno=True).prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)
    if os.getppid() != int(parent):  # it was gone before the kernel knew of our wish
        os._exit(1)


def end_when_orphaned() -> None:
    """The same for a child that some other thread started: a thread looks once a second who its parent is."""
    parent = os.getppid()

    def watch() -> None:
        while os.getppid() == parent:
            time.sleep(1.0)
        os._exit(1)

    threading.Thread(target=watch, name="lifeline", daemon=True).start()
