"""The base of all listings, and how a command prints them."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Generic, TypeVar

from pydantic import BaseModel, ConfigDict, TypeAdapter

T = TypeVar("T")


class Listing(BaseModel):
    """Something that is listed."""

    model_config = ConfigDict(frozen=True, from_attributes=True)


class PageListing(Listing, Generic[T]):
    """A part of a long list."""

    items: list[T]
    next: str | None = None  # the place from which the list goes on; None: this is its end


def as_json(listed: Listing | Sequence[Listing]) -> str:
    """One of them, or a list, as JSON."""
    if isinstance(listed, Listing):
        return listed.model_dump_json()
    return TypeAdapter(list[Listing]).serializer.to_json(list(listed), serialize_as_any=True).decode()
