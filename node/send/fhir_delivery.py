"""FHIR R4 resources to a server: each is there once, and looked for to see whether the server keeps it."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import suppress
from datetime import datetime
from pathlib import Path
from typing import Any

from dicom_sr.profile import ObjectFile
from node.config import FhirDestination
from node.errors import ConfigurationError, PeerRefused, PeerUnavailable
from node.network.fhir_client import FhirClient
from node.send.delivery import Answer, Outcome
from node.send.fhir_reports import identifier, main_resource, with_patient, with_what_it_leaves_behind, withdrawal
from node.send.one_by_one import OneByOne

NO_PATIENT = "the FHIR server has no patient with that ID yet"


class FhirDelivery(OneByOne):
    """Creates resources, each on condition that the server has none with its identifier (FHIR R4 3.1.0.8.1).

    So a resource that was sent and not answered, or sent by a node that was killed, is not there twice when it is sent
    again. A report goes as a transaction (FHIR R4 3.1.0.11), all of it or nothing, unless the server has it already, or
    a later one in its place. `key_file` opens those that are sealed.
    """

    def __init__(self, name: str, destination: FhirDestination, key_file: Path | None = None) -> None:
        super().__init__(name, key_file)
        self._destination = destination
        self._opened: FhirClient | None = None

    def find(self, items: Sequence[ObjectFile]) -> set[str] | None:
        """The UIDs of those resources that the server has and has not taken back; None where it cannot be searched.

        Raises
        ------
        PeerUnavailable
        """
        found: set[str] = set()
        for item in items:
            resource = self._resource(item)
            try:
                if resource is not None and self._has(resource, taken_back_too=False):
                    found.add(item.sop_instance_uid)
            except PeerRefused:
                return None
        return found

    def withdraw(self, item: ObjectFile, when: datetime, why: str) -> Answer:
        """Mark what was sent as entered in error, a report with its Observations; the server's answer.

        FHIR's status has no room for a time and a reason. Nothing is marked where a later report has taken its place.
        To do it again does no harm.

        Raises
        ------
        PeerUnavailable
        """
        resource = self._resource(item)
        if resource is None:
            return Answer(Outcome.REFUSED, "not a FHIR resource")
        try:
            transaction = withdrawal(self._client, resource)
            if transaction is None:
                return Answer(Outcome.DELIVERED, "not there, or replaced by a later one")
            return Answer(
                Outcome.DELIVERED, self._client.transact(transaction, main_resource(resource)["resourceType"])
            )
        except PeerRefused as error:
            return Answer(Outcome.REFUSED, str(error))

    def ping(self) -> str:
        """Ask the server what it is; what it answered.

        Raises
        ------
        PeerUnavailable
            If it cannot be reached.
        """
        try:
            return f"answers: FHIR {self._client.fhir_version()}"
        except PeerRefused as error:
            raise PeerUnavailable(f"{self._name}: {error}") from error

    def close(self) -> None:
        """End the connection."""
        if self._opened is not None:
            self._opened.close()

    @property
    def _client(self) -> FhirClient:
        if self._opened is None:
            try:
                self._opened = FhirClient(self._destination, self._name)
            except ConfigurationError as error:  # a token that is not there yet
                raise PeerUnavailable(str(error)) from error
        return self._opened

    def _send(self, item: ObjectFile) -> Answer:
        resource = self._resource(item)
        if resource is None:
            return Answer(Outcome.REFUSED, "not a FHIR resource")
        try:
            if self._destination.find_patient:
                found = with_patient(self._client, resource)
                if found is None:
                    return Answer(Outcome.LATER, NO_PATIENT)
                resource = found
            if resource["resourceType"] == "Bundle":
                return self._transact(resource)
            unless = f"identifier={identifier(resource)}"
            if self._is_of_another(resource):
                put = {"method": "PUT", "url": f"{resource['resourceType']}?{unless}"}
                entries = [{"resource": resource, "request": put}]
                bundle = {"resourceType": "Bundle", "type": "transaction", "entry": entries}
                return Answer(Outcome.DELIVERED, self._client.transact(bundle, resource["resourceType"]))
            return Answer(Outcome.DELIVERED, self._client.create(resource, unless=unless))
        except PeerRefused as error:
            return Answer(Outcome.REFUSED, str(error))

    def _transact(self, bundle: dict[str, Any]) -> Answer:
        try:
            there = self._has(bundle)
        except PeerRefused:  # it may not be searched: to give it the same again makes no second report either
            there = False
        if there and not self._is_of_another(bundle):
            return Answer(Outcome.DELIVERED, "there already")
        with suppress(PeerRefused):  # where Observations may not be searched for, those of the report before it stay
            bundle = with_what_it_leaves_behind(self._client, bundle)
        return Answer(Outcome.DELIVERED, self._client.transact(bundle, "DiagnosticReport"))

    def _is_of_another(self, sent: dict[str, Any]) -> bool:
        """Whether the server has it for another patient ID: that patient was merged or corrected since."""
        main = main_resource(sent)
        try:
            there = self._client.search(str(main["resourceType"]), {"identifier": identifier(main)})
        except PeerRefused:
            return False
        ours = main.get("subject", {}).get("identifier", {}).get("value")
        theirs = [one.get("subject", {}).get("identifier", {}).get("value") for one in there]
        return bool(ours) and any(value and value != ours for value in theirs)

    def _has(self, resource: dict[str, Any], *, taken_back_too: bool = True) -> bool:
        main = main_resource(resource)
        return self._client.has(str(main["resourceType"]), identifier(main), taken_back_too=taken_back_too)

    def _resource(self, item: ObjectFile) -> dict[str, Any] | None:
        if item.sop_class_uid:  # a DICOM object, by `condyle send`
            return None
        resource: dict[str, Any] = json.loads(self._content(item))
        return resource
