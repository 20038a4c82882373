"""What can be wrong with DICOM that comes in or goes out.

DicomError
 ├── UnsuitableInput   the images cannot be used for this; record it, do not retry
 ├── EncodingError     a result cannot be written as the object asked for; a bug or an unsupported combination
 └── CodeConflict      two meanings for one code, or two schemes of one name; a bug of the package that brings it
"""

import errno
import struct
import zlib

from pydicom.errors import BytesLengthException, InvalidDicomError

# What pydicom raises for files that are cut off, or whose elements do not hold what they should.
UNREADABLE = (
    InvalidDicomError,
    BytesLengthException,
    OSError,
    ValueError,
    AttributeError,
    LookupError,  # a character set that names one of Python's codecs that is none of texts, too
    TypeError,
    NotImplementedError,
    RecursionError,
    OverflowError,
    struct.error,
    zlib.error,
)


def why_unreadable(error: BaseException) -> str:
    """What is wrong with a file that one of `UNREADABLE` was raised on, without a value of it."""
    if isinstance(error, RecursionError):
        return "its sequences are nested too deep"
    if isinstance(error, InvalidDicomError):
        return "it is no DICOM file"
    if isinstance(error, zlib.error):
        return "its deflated data set cannot be inflated"
    if isinstance(error, OSError) and error.strerror:
        return f"the system says: {error.strerror}"
    return f"its elements are damaged or cut off ({type(error).__name__})"


_OF_THE_FILE = (None, errno.EINVAL)  # of errors of the system those that lengths in a damaged file lead to
_NO_THREAD = "can't start new thread"  # what Python says where the system gives no more threads


class DicomError(Exception):
    """Base of everything `dicom_sr` raises on purpose."""


class UnsuitableInput(DicomError):
    """The images cannot be used for what was asked; the message says what is missing, in words for a radiologist."""


def of_the_machine(error: BaseException) -> bool:
    """Whether an error comes from the machine, not from the data: a file cannot be read or written, or memory is short.

    Whoever leaves an image aside and goes on must not do so for this: it would be missing from the result for good.
    """
    cause: BaseException | None = error
    while cause is not None:
        if isinstance(cause, MemoryError) or (isinstance(cause, OSError) and cause.errno not in _OF_THE_FILE):
            return True
        if isinstance(cause, RuntimeError) and str(cause) == _NO_THREAD:
            return True
        cause = cause.__cause__ or cause.__context__
    return False


class EncodingError(DicomError):
    """A result cannot be written as the object asked for."""


class CodeConflict(DicomError):
    """A private code, coding scheme or reviewed code is there already and means something else."""
