"""What an action is about to do, in sentences: a confirmation shows it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from dicom_sr.words import counted

NAMED = 10  # of many, those that a sentence names


@dataclass(frozen=True)
class Preview:
    """What will happen, or why it cannot."""

    title: str  # a question
    sentences: tuple[str, ...]
    refusal: str = ""  # why it cannot be done; empty: it can

    def __post_init__(self) -> None:
        if self.refusal:  # it is a sentence of its own here, and follows a key or a name elsewhere
            told = f"{self.refusal[0].upper()}{self.refusal[1:]}"
            object.__setattr__(self, "refusal", told if told.endswith((".", "?")) or "\n" in told else f"{told}.")

    @property
    def possible(self) -> bool:
        """Whether there is something to confirm."""
        return not self.refusal


def listed(names: Iterable[str]) -> str:
    """Names in a sentence, the first of many."""
    every = list(names)
    more = f" and {len(every) - NAMED} more" if len(every) > NAMED else ""
    return f"{', '.join(every[:NAMED])}{more}" or "nobody"


def short(job_ids: Sequence[str]) -> str:
    """Jobs in a sentence, by the first characters of their ids."""
    return listed(job_id[:12] for job_id in job_ids)


def objects_at(numbers: dict[str, int]) -> list[str]:
    """How many objects where, one sentence each."""
    return [f"{name}: {counted(number, 'object')}." for name, number in sorted(numbers.items())]
