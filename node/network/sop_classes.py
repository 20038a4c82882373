"""The service classes that the node offers and asks for: pynetdicom makes their names unseen by a type checker."""

from __future__ import annotations

from pynetdicom import sop_class
from pynetdicom.sop_class import SOPClass

_CLASSES: dict[str, SOPClass] = vars(sop_class)

Verification = _CLASSES["Verification"]
StorageCommitmentPushModel = _CLASSES["StorageCommitmentPushModel"]
StudyRootQueryRetrieveInformationModelFind = _CLASSES["StudyRootQueryRetrieveInformationModelFind"]
StudyRootQueryRetrieveInformationModelGet = _CLASSES["StudyRootQueryRetrieveInformationModelGet"]
StudyRootQueryRetrieveInformationModelMove = _CLASSES["StudyRootQueryRetrieveInformationModelMove"]
