"""What an action would do, or has done."""

from __future__ import annotations

from collections.abc import Sequence

from pydantic import Field

from node.actions.preview import Preview
from node.listings.listing import Listing


class ActionListing(Listing):
    """What an action would do, or has done."""

    done: bool  # False: this is what it would do
    sentences: list[str]  # for people
    refusal: str = ""  # why it cannot be done; empty: it can
    jobs: list[str] = Field(default_factory=list)  # ids of those that it is about, or that it began

    @classmethod
    def would(cls, preview: Preview) -> ActionListing:
        """What an action would do."""
        return cls(done=False, sentences=list(preview.sentences), refusal=preview.refusal)

    @classmethod
    def did(cls, *sentences: str, jobs: Sequence[str] = ()) -> ActionListing:
        """What an action has done."""
        return cls(done=True, sentences=list(sentences), jobs=list(jobs))
