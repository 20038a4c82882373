"""What is accepted of what peers propose."""

from __future__ import annotations

import pytest
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RTPlanStorage,
)
from pynetdicom.presentation import build_context

from node.network.sop_classes import StorageCommitmentPushModel, Verification
from node.receive.dimse.presentation_contexts import is_storage, supported
from tests.scp import PATIENT_ROOT_FIND

PRIVATE = "1.2.3.4.5"
RETIRED = "1.2.840.10008.5.1.4.1.1.6"  # Ultrasound Image Storage (Retired)


@pytest.mark.parametrize("uid", [MRImageStorage, RTPlanStorage, RETIRED, PRIVATE])
def test_known_retired_and_private_classes_can_be_stored(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize("uid", [Verification, PATIENT_ROOT_FIND, StorageCommitmentPushModel])
def test_services_are_no_storage(uid: str) -> None:
    assert not is_storage(uid)


def test_every_transfer_syntax_that_is_known_is_taken_and_no_other() -> None:
    proposed = [build_context(MRImageStorage, ["1.2.3.99", JPEG2000Lossless, ExplicitVRLittleEndian])]
    (context,) = supported(proposed)
    assert context.transfer_syntax == [JPEG2000Lossless, ExplicitVRLittleEndian]  # in the sender's order
    assert supported([build_context(MRImageStorage, ["1.2.3.99"])]) == []


def test_storage_commitment_is_offered_in_both_roles_and_queries_are_not() -> None:
    proposed = [
        build_context(StorageCommitmentPushModel, [ExplicitVRLittleEndian]),
        build_context(PATIENT_ROOT_FIND, [ExplicitVRLittleEndian]),
    ]
    (context,) = supported(proposed)
    assert context.abstract_syntax == StorageCommitmentPushModel
    assert (context.scu_role, context.scp_role) == (True, True)
