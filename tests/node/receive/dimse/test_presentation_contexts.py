"""What is accepted of what peers propose."""

from __future__ import annotations

import pytest
from pydicom._uid_dict import UID_dictionary
from pydicom.uid import (
    ExplicitVRLittleEndian,
    JPEG2000Lossless,
    MRImageStorage,
    RTPlanStorage,
)
from pynetdicom.presentation import build_context, negotiate_as_acceptor

from node.network.sop_classes import StorageCommitmentPushModel, Verification
from node.receive.dimse.associate_request import MAXIMUM_CONTEXTS, MAXIMUM_SYNTAXES
from node.receive.dimse.presentation_contexts import (
    LONGEST_TOLD,
    is_storage,
    is_syntax,
    is_verification,
    refusals,
    supported,
)
from tests.scp import PATIENT_ROOT_FIND

PRIVATE = "1.2.3.4.5"
RETIRED = "1.2.840.10008.5.1.4.1.1.6"  # Ultrasound Image Storage (Retired)


@pytest.mark.parametrize("uid", [MRImageStorage, RTPlanStorage, RETIRED, PRIVATE])
def test_known_retired_and_private_classes_can_be_stored(uid: str) -> None:
    assert is_storage(uid)


@pytest.mark.parametrize("uid", [Verification, PATIENT_ROOT_FIND, StorageCommitmentPushModel])
def test_services_are_no_storage(uid: str) -> None:
    assert not is_storage(uid)


PRIVATE_SYNTAX = "1.2.840.113619.5.2"  # GE's: implicit VR little endian, with pixels in big endian
REGISTERED = sorted(uid for uid, (_, kind, *_) in UID_dictionary.items() if kind == "Transfer Syntax")


@pytest.mark.parametrize("syntax", [*REGISTERED, PRIVATE_SYNTAX, "1.2.840.10008.1.2.4.999"])
def test_every_transfer_syntax_is_taken_retired_private_and_new_ones_too(syntax: str) -> None:
    (context,) = supported([build_context(MRImageStorage, [syntax])])
    assert context.transfer_syntax == [syntax]


def test_of_several_syntaxes_those_that_can_be_decoded_are_preferred_in_the_senders_order() -> None:
    proposed = [build_context(MRImageStorage, [PRIVATE_SYNTAX, JPEG2000Lossless, ExplicitVRLittleEndian])]
    (context,) = supported(proposed)
    assert context.transfer_syntax == [JPEG2000Lossless, ExplicitVRLittleEndian, PRIVATE_SYNTAX]


def test_what_is_refused_is_told_class_and_syntax_apart() -> None:
    proposed = [
        build_context(MRImageStorage, [ExplicitVRLittleEndian]),
        build_context(MRImageStorage, [RTPlanStorage]),
        build_context(PATIENT_ROOT_FIND, [ExplicitVRLittleEndian]),
        build_context(Verification, [JPEG2000Lossless]),
    ]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    results, _ = negotiate_as_acceptor(proposed, supported(proposed))
    assert [context.result for context in results] == [0, 4, 3, 4]
    assert refusals(proposed, results).split("; ") == [
        f"the syntax RT Plan Storage ({RTPlanStorage}) is not taken for MR Image Storage ({MRImageStorage})",
        "the class Patient Root Query/Retrieve Information Model - FIND (1.2.840.10008.5.1.4.1.2.1.1) is not taken",
        "the syntax JPEG 2000 Image Compression (Lossless Only) (1.2.840.10008.1.2.4.90) is not taken for "
        "Verification SOP Class (1.2.840.10008.1.1)",
    ]


def test_what_a_peer_has_refused_takes_few_words_however_much_it_proposes() -> None:
    no_syntaxes = [uid for uid in UID_dictionary if not is_syntax(uid)]
    longest = sorted(no_syntaxes, key=lambda uid: -len(UID_dictionary[uid][0]))
    classes = [uid for uid in UID_dictionary if UID_dictionary[uid][1] == "SOP Class" and is_storage(uid)]
    proposed = [build_context(uid, longest[:MAXIMUM_SYNTAXES]) for uid in classes[:MAXIMUM_CONTEXTS]]
    for number, context in enumerate(proposed):
        context.context_id = 2 * number + 1
    results, _ = negotiate_as_acceptor(proposed, supported(proposed))
    told = refusals(proposed, results)
    first, *_, last = told.split("; ")
    assert first.count(" or ") == 2
    assert f"(and {MAXIMUM_SYNTAXES - 3} more) is not taken for " in first
    assert len(told) <= LONGEST_TOLD
    assert last == f"and {len(proposed) - len(told.split('; ')) + 1} more"


def test_only_verification_is_a_health_check() -> None:
    echo = build_context(Verification)
    assert is_verification([echo, echo])
    assert not is_verification([echo, build_context(MRImageStorage)])
    assert not is_verification([])


def test_storage_commitment_is_offered_in_both_roles_and_queries_are_not() -> None:
    proposed = [
        build_context(StorageCommitmentPushModel, [ExplicitVRLittleEndian]),
        build_context(PATIENT_ROOT_FIND, [ExplicitVRLittleEndian]),
    ]
    (context,) = supported(proposed)
    assert context.abstract_syntax == StorageCommitmentPushModel
    assert (context.scu_role, context.scp_role) == (True, True)
