"""What can go wrong in the node, split by what the caller does next.

The tree::

    NodeError
     ├── ConfigurationError   do not start; the message names file, key, value and what would be right
     ├── PeerUnavailable      retry later
     ├── PeerRefused          do not retry
     ├── JobFailed            the job ends as failed with this reason, for an operator to see and restart
     ├── WorkerDied           do the step again, a few times
     ├── UnreadableHeader     leave the image aside, by name; the next one is read
     ├── ReadingFailed        leave the file or the message aside, with a record; the next one is read
     │    └── ReaderDied      the same, after a few attempts; a job does its step again, a few times
     ├── MustWait             nobody is to blame: do it again later, as often as it takes
     │    ├── BeingStopped    the node ends: the next one does it
     │    ├── NoRoom          the disk is full, or nearly
     │    └── StorageAway, NotWhole   images that were stored cannot be read now
     └── JobNotFound, StudyNotFound, StillArriving   tell the operator
    UnsuitableInput (dicom_sr.errors)   record it, do not retry
"""

from pathlib import Path
from typing import ClassVar


class NodeError(Exception):
    """Base of everything the node raises on purpose."""

    exit_code: ClassVar[int] = 1  # of a process that ends with it; `node.commands.exit_codes` says what they mean


class ConfigurationError(NodeError):
    """The configuration cannot be used; the node does not start."""

    exit_code = 3


class PeerUnavailable(NodeError):
    """The peer cannot be reached or is busy: try again later."""

    exit_code = 4


class PeerRefused(NodeError):
    """The peer refused: trying again will not help."""


class JobFailed(NodeError):
    """The job cannot go on: a bug, a limit, a refusal or an operator; it can be restarted."""


class WorkerDied(NodeError):
    """The process that did the work went away in the middle of it."""


class ReadingFailed(NodeError):
    """What was received breaks what reads it; says how, never with a value."""


class UnreadableHeader(NodeError):
    """The header of an image cannot be read; the message says why, without a value of it."""


class ReaderDied(ReadingFailed):
    """The process that read it went away, or took too long or too much."""


class MustWait(NodeError):
    """It cannot be done now, and nobody is to blame: do it again later."""


class BeingStopped(MustWait):
    """The node is being stopped."""


class NoRoom(MustWait):
    """The disk is full, or below the room that the configuration leaves free."""


class StorageAway(MustWait):
    """Images that were stored cannot be read now."""


class NotWhole(StorageAway):
    """An image is not as long as its receipt says: its storage is at fault, or it was replaced a moment ago."""

    paths: tuple[Path, ...] = ()  # of all that are not


class JobNotFound(NodeError):
    """No job has that id."""


class StudyNotFound(NodeError):
    """Nothing of that study is stored."""


class StillArriving(NodeError):
    """A study that is not complete yet."""
