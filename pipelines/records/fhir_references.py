"""What the references in a FHIR bundle lead to, by the rules of https://hl7.org/fhir/R4/bundle.html#references."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any
from urllib.parse import parse_qs

# [base/]Type/id[/_history/version], with FHIR's ids (R4 2.24.0.1)
_RESTFUL = re.compile(r"(?:(https?://.+)/)?([A-Z][A-Za-z]+/[A-Za-z0-9\-.]{1,64})(?:/_history/[A-Za-z0-9\-.]{1,64})?")


@dataclass(frozen=True)
class Entry:
    """A resource of a bundle, and the address that the bundle gives it."""

    full_url: str
    model: Any

    @property
    def kind(self) -> str:
        """The type of the resource."""
        return str(self.model.get_resource_type())

    @property
    def base(self) -> str | None:
        """Address of the server that its relative references are relative to; None where the bundle tells none."""
        found = _RESTFUL.fullmatch(self.full_url)
        return found[1] if found else None


class References:
    """Finds the entries that references lead to.

    Parameters
    ----------
    entries
        All of the bundle; of two under one address the later counts.
    """

    def __init__(self, entries: Iterable[Entry]) -> None:
        self._by_url: dict[str, Entry] = {}
        self._by_id: dict[str, list[Entry]] = {}
        self._of_no_server: dict[str, list[Entry]] = {}  # the same, where the address names none
        self._by_identifier: dict[tuple[str, str, str], list[Entry]] = {}
        for entry in entries:
            self._by_url[_plain(entry.full_url)] = entry
            if entry.model.id:
                name = f"{entry.kind}/{entry.model.id}"
                self._by_id.setdefault(name, []).append(entry)
                if entry.base is None:
                    self._of_no_server.setdefault(name, []).append(entry)
            for system, value in _identifiers(entry.model):
                self._by_identifier.setdefault((entry.kind, system, value), []).append(entry)

    def find(self, reference: Any, holder: Entry, kind: str) -> Entry | None:
        """The entry of type `kind` that a Reference leads to; None if there is none, or no telling which.

        Parameters
        ----------
        reference
            FHIR's Reference: by address, by an id inside `holder`, by a search, or by identifier.
        holder
            The entry that it stands in.
        kind
            What it has to lead to.
        """
        found: Entry | None = None
        if reference is not None and reference.reference:
            found = self._addressed(str(reference.reference).strip(), holder)
        if found is None and (identifier := getattr(reference, "identifier", None)) is not None:
            found = self.identified(kind, str(identifier.system or ""), str(identifier.value or ""))
        return found if found is not None and found.kind == kind else None

    def identified(self, kind: str, system: str, value: str) -> Entry | None:
        """The one entry of that type with that identifier."""
        return _only(self._by_identifier.get((kind, system, value), ())) if value else None

    def _addressed(self, address: str, holder: Entry) -> Entry | None:
        if address.startswith("#"):
            return self._contained(address[1:], holder)
        kind, _, query = address.partition("?")
        if query and kind.isalpha():  # a conditional reference, as transactions have them
            system, _, value = parse_qs(query).get("identifier", [""])[0].rpartition("|")
            return self.identified(kind, system, value)
        found = _RESTFUL.fullmatch(address)
        if found is None:  # urn:uuid, urn:oid
            return self._by_url.get(_plain(address))
        base, name = found[1] or holder.base, found[2]
        if base is not None and (there := self._by_url.get(f"{base}/{name}")) is not None:
            return there
        # an entry whose address names no server may be the one; one of another server is not
        return _only((self._by_id if base is None else self._of_no_server).get(name, ()))

    def _contained(self, name: str, holder: Entry) -> Entry | None:
        """A resource inside another; where an entry of the bundle has its identifier, that entry."""
        inside = next((part for part in holder.model.contained or () if part.id == name), None)
        if inside is None:
            return None
        entry = Entry(f"{holder.full_url}#{name}", inside)
        known = (self.identified(entry.kind, system, value) for system, value in _identifiers(inside))
        return next((there for there in known if there is not None), entry)


def _plain(url: str) -> str:
    """An address without its version; the letters of a UUID may be of either case."""
    found = _RESTFUL.fullmatch(url)
    if found is not None:
        return f"{found[1]}/{found[2]}" if found[1] else found[2]
    return url.lower() if url.lower().startswith("urn:uuid:") else url


def _identifiers(model: Any) -> Iterator[tuple[str, str]]:
    for identifier in getattr(model, "identifier", None) or ():
        if getattr(identifier, "value", None):
            yield str(identifier.system or ""), str(identifier.value)


def _only(entries: Sequence[Entry]) -> Entry | None:
    return entries[0] if len(entries) == 1 else None
