"""Optional objects: one that cannot be made is left out and said, and does not cost the result."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field

from dicom_sr.errors import DicomError, of_the_machine
from dicom_sr.profile import EncodedObject, Kind
from dicom_sr.words import counted

# without these a result is whole: reports, captures, derived series and documents say or show everything; each other
# destination has its own
OPTIONAL: dict[Kind, str] = {
    "presentation_state": "presentation state",
    "segmentation_binary": "binary segmentation",
    "segmentation_fractional": "fractional segmentation",
    "segmentation_labelmap": "label map segmentation",
    "parametric_map": "parametric map",
    "key_objects": "key object selection",
    "diagnostic_report": "FHIR diagnostic report",
    "oru": "HL7 message",
}
# what the libraries raise for what they do not take
_NOT_TAKEN = (
    DicomError,
    ArithmeticError,
    AssertionError,
    AttributeError,
    LookupError,
    OSError,  # pydicom's, for a number that its element cannot hold
    RuntimeError,
    TypeError,
    ValueError,
)
_BY_A_LIBRARY = "what it would hold does not fit such an object"


@dataclass(frozen=True)
class LeftOut:
    """An object that could not be made."""

    kind: Kind
    error: str  # a sentence for who runs the node
    cause: Exception | None = field(default=None, compare=False)  # of a library; its words may quote a header's value

    def __str__(self) -> str:
        return f"{OPTIONAL[self.kind]}: {self.error}"


@dataclass
class Attempts:
    """Makes optional objects, one at a time, and keeps what could not be made."""

    left_out: list[LeftOut] = field(default_factory=list)

    def __call__(self, kind: Kind, make: Callable[[], EncodedObject]) -> tuple[EncodedObject, ...]:
        """The object that `make` writes, or nothing."""
        return self.several(kind, lambda: (make(),))

    def several(self, kind: Kind, make: Callable[[], tuple[EncodedObject, ...]]) -> tuple[EncodedObject, ...]:
        """The objects that `make` writes, or nothing; a full disk or memory is no matter of the object."""
        try:
            return make()
        except _NOT_TAKEN as error:
            if of_the_machine(error):
                raise
            ours = isinstance(error, DicomError)
            self.left_out.append(LeftOut(kind, str(error) if ours else _BY_A_LIBRARY, None if ours else error))
            return ()


def sentences(left_out: Iterable[LeftOut]) -> tuple[str, ...]:
    """What a reader must know of what is missing, without a library's words."""
    return tuple(
        f"Left out: {counted(number, OPTIONAL[kind])} that could not be written."
        for kind, number in Counter(one.kind for one in left_out).items()
    )
