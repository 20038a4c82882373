from __future__ import annotations

import re
import uuid
from dataclasses import replace

from dicom_sr.uids import result_key, uid
from tests.factories import MODEL


def test_a_name_has_one_uid() -> None:
    assert uid("2.25", "a", "b") == uid("2.25", "a", "b")


def test_the_uid_under_2_25_is_the_integer_of_a_version_5_uuid() -> None:
    root, _, digits = uid("2.25", "anything").rpartition(".")
    assert root == "2.25"
    assert uuid.UUID(int=int(digits)).version == 5


def test_parts_of_a_name_do_not_run_together() -> None:
    assert uid("2.25", "ab") != uid("2.25", "a", "b")


def test_a_sites_root_gives_legal_uids_of_the_same_names() -> None:
    root = "1.2.826.0.1.3680043.10.99999"
    made = [uid(root, str(number)) for number in range(200)]
    assert len(set(made)) == 200
    assert all(re.fullmatch(r"(0|[1-9]\d*)(\.(0|[1-9]\d*))+", one) and len(one) <= 64 for one in made)
    assert all(one.startswith(f"{root}.") for one in made)


def test_order_of_sources_does_not_matter_but_the_model_does() -> None:
    assert result_key(MODEL, ["2", "1"]) == result_key(MODEL, ["1", "2"])
    for changed in (
        replace(MODEL, version="9"),
        replace(MODEL, weights_digest="00"),
        replace(MODEL, configuration_digest="00"),
        replace(MODEL, name="other"),
    ):
        assert result_key(changed, ["1"]) != result_key(MODEL, ["1"])
