"""Merges and corrections: in any order, twice, in circles, broken off in between; never of somebody else."""

from __future__ import annotations

import os
from datetime import UTC, date, datetime
from pathlib import Path

import pytest

from dicom_sr.current_patient import CurrentPatient
from node.config import RecordSettings
from node.errors import NodeError
from node.patient_records.intake import Intake
from node.patient_records.patient_changes import MOST_IDS, ChangeRefused, PatientChanges
from node.patient_records.store import PatientRecords, new_key
from node.reading import HERE
from pipelines.records.hl7_patients import PatientChange
from pipelines.records.record import Identity
from tests.node.patient_records.adt import adt, incoming
from tests.node.patient_records.stored import there

ERIKA = Identity("B", "", "Muster", "Erika", date(1960, 2, 29), "F")
UNKNOWN = Identity("A", "", "Unknown", "Trauma")


class Ward:
    """What a node keeps, and the way in."""

    def __init__(self, folder: Path, key_file: Path | None = None) -> None:
        self.records = PatientRecords(folder / "records", key_file)
        self.folder = folder / "patients"
        self.changes = PatientChanges(self.folder, self.records, "", key_file)
        settings = RecordSettings.model_validate({"issuers": {"HOSP": ""}, "patient_changes": True})
        self.intake = Intake(self.records, settings, HERE, self.changes)

    def told(self, trigger: str, patient_id: str, *prior: str, **more: str) -> None:
        self.intake.message(incoming(trigger, patient_id, *prior, **more))

    def now(self, patient_id: str, **who: str) -> str | None:
        """Which patient ID an image with that one has now."""
        found = self.changes.current(Identity(patient_id, "", **who))  # type: ignore[arg-type]
        return found.patient_id if found else None


@pytest.fixture
def ward(tmp_path: Path) -> Ward:
    return Ward(tmp_path)


def test_a_merged_patients_record_and_images_are_the_survivors_and_nothing_is_lost(ward: Ward) -> None:
    ward.told("A08", "A", name="Unknown^Trauma", born="", sex="U", at="20260101080000")
    ward.told("A08", "B", at="20260101090000")
    ward.told("A40", "B", "A", at="20260102")
    assert ward.records.get("A") is None
    record = there(ward.records.get("B"))
    assert record.identity == ERIKA
    assert {event.start for event in record.events} == {date(2026, 1, 1), date(2026, 1, 2)}
    assert ward.changes.current(UNKNOWN) == CurrentPatient("B", "", "Muster^Erika", "19600229", "F")
    assert UNKNOWN in ward.changes.earlier(ERIKA)
    ward.told("A08", "A", name="Unknown^Trauma", born="", sex="U", at="20260101100000")  # late, about the prior one
    assert ward.records.get("A") is None
    assert there(ward.records.get("B")).identity == ERIKA


def test_a_chain_ends_at_the_last_survivor_in_whichever_order_it_is_told_and_however_often(tmp_path: Path) -> None:
    merges = [("B", "A", "20260101"), ("C", "B", "20260102"), ("D", "C", "20260103")]
    for number, order in enumerate(([0, 1, 2], [2, 1, 0], [1, 0, 2, 0, 1, 2])):
        ward = Ward(tmp_path / str(number))
        ward.told("A08", "A", at="20250101")
        for index in order:
            new, old, at = merges[index]
            ward.told("A40", new, old, at=at)
        assert [ward.now(one) for one in "ABCD"] == ["D"] * 4
        assert [ward.records.get(one) is None for one in "ABC"] == [True] * 3
        assert there(ward.records.get("D")).identity.patient_id == "D"
        assert {who.patient_id for who in ward.changes.earlier(Identity("D"))} == set("ABCD")


def test_a_later_merge_the_other_way_round_changes_who_survives_and_an_earlier_one_nothing(ward: Ward) -> None:
    ward.told("A40", "B", "A", at="20260105")
    ward.told("A40", "A", "B", at="20260101")
    assert [ward.now(one) for one in "AB"] == ["B", "B"]
    ward.told("A40", "A", "B", at="20260109")
    assert [ward.now(one) for one in "AB"] == ["A", "A"]
    ward.told("A40", "B", "A", at="20260105")  # the first one once more
    assert [ward.now(one) for one in "AB"] == ["A", "A"]
    assert (ward.records.get("B"), there(ward.records.get("A")).identity.patient_id) == (None, "A")


def test_a_patient_id_that_was_merged_is_not_merged_into_a_third_patient(ward: Ward) -> None:
    ward.told("A40", "B", "A", at="20260101")
    with pytest.raises(ChangeRefused, match="merged into another patient before; nothing was merged"):
        ward.told("A40", "C", "A", at="20260102")
    assert ward.now("A") == "B"
    assert ward.records.get("C") is None
    pairs = ((("X", ""), ("Y", "")), (("A", ""), ("C", "")))
    with pytest.raises(ChangeRefused):  # all of a message or nothing
        ward.changes.take(PatientChange(pairs, (), "20260103000000"))
    assert ward.now("X") is None


def test_a_patient_has_so_many_patient_ids_and_a_chain_is_as_long(ward: Ward) -> None:
    for number in range(MOST_IDS - 1):
        ward.changes.take(PatientChange((((str(number), ""), (str(number + 1), "")),)))
    last = str(MOST_IDS - 1)
    assert (ward.now("0"), ward.now(last)) == (last, None)  # nobody has described it
    with pytest.raises(ChangeRefused, match="more than 200 patient IDs"):
        ward.changes.take(PatientChange((((last, ""), ("more", "")),)))
    assert ward.now("0") == last


def test_a_merge_of_an_unknown_authority_is_refused_whether_changes_are_followed_or_not(ward: Ward) -> None:
    ward.told("A08", "A")
    plain = Intake(ward.records, RecordSettings(), HERE)
    for intake in (plain, ward.intake):
        read = intake.read(adt("A40", "B", "A", authority="CLINIC").encode(), True)
        assert read.incoming is not None
        with pytest.raises(ChangeRefused, match="assigning authority that is known"):
            intake.message(read.incoming)
    assert there(ward.records.get("A"))
    assert ward.now("A") == "A"


def test_what_a_kill_left_half_done_the_repeated_message_completes(ward: Ward, monkeypatch: pytest.MonkeyPatch) -> None:
    ward.told("A08", "A", at="20260101")
    with monkeypatch.context() as patch:

        def killed(*_: object, **__: object) -> None:
            raise KeyboardInterrupt

        patch.setattr(ward.records, "rename", killed)
        with pytest.raises(KeyboardInterrupt):
            ward.told("A40", "B", "A", at="20260102")
    assert ward.now("A") == "B"
    assert there(ward.records.get("A"))
    ward.told("A40", "B", "A", at="20260102")
    assert ward.records.get("A") is None
    assert there(ward.records.get("B"))


def test_a_correction_reaches_images_that_are_known_to_be_the_patients_and_no_others(ward: Ward) -> None:
    ward.told("A08", "B", at="20260101")
    ward.told("A08", "B", name="Beispiel^Erika", at="20260103")
    assert there(ward.records.get("B")).identity.family_name == "Beispiel"
    assert ward.changes.current(ERIKA) == CurrentPatient("B", "", "Beispiel^Erika", "19600229", "F")
    stranger = Identity("B", "", "Fremd", "Erika", date(1960, 2, 29), "F")
    assert ward.changes.current(stranger) is None  # a number typed wrongly at the device
    ward.told("A08", "B", name="Vorher^Erika", at="20260102")  # late: what the patient was called in between
    assert there(ward.records.get("B")).identity.family_name == "Beispiel"
    assert ward.changes.current(Identity("B", "", "Vorher", "Erika", date(1960, 2, 29), "F")) is not None


def test_of_a_patient_who_was_never_described_before_the_name_or_the_birth_date_must_be_the_same(ward: Ward) -> None:
    ward.changes.take(incoming("A31", "B").change)
    assert ward.now("B", family_name="Muster", given_name="Erika") == "B"
    assert ward.changes.current(Identity("B", "", "Mädchenname", "Erika", date(1960, 2, 29), "F")) is not None
    assert ward.now("B", family_name="Fremd", given_name="Erika") is None
    ward.told("A40", "B", "A")
    assert ward.now("A", family_name="Unknown", given_name="Trauma") == "B"  # nothing else was ever known of it
    ward.told("A08", "C", name="Gruber^Hans", born="19500101", sex="M")
    ward.told("A40", "B", "C", at="20260201")
    assert ward.now("C", family_name="Fremd", given_name="Erika") is None  # C was Gruber


def test_no_file_tells_a_patient_id_and_a_sealed_one_no_name(tmp_path: Path) -> None:
    key = tmp_path / "records.key"
    key.write_bytes(new_key())
    ward = Ward(tmp_path, key)
    ward.told("A40", "PAT-NEW", "PAT-OLD")
    files = list(ward.folder.iterdir())
    assert len([path for path in files if path.suffix == ".patient"]) == 2
    for path in files:
        assert "PAT" not in path.name
        assert not {word for word in (b"PAT-", b"Muster", b"1960") if word in path.read_bytes()}


def test_changes_are_forgotten_when_nothing_was_told_for_long_and_damage_is_said(ward: Ward) -> None:
    ward.told("A40", "B", "A")
    ward.told("A08", "C")
    old = datetime(2020, 1, 1, tzinfo=UTC).timestamp()
    for path in ward.folder.glob("*.patient"):
        if b'"C"' not in path.read_bytes():
            os.utime(path, (old, old))
    assert ward.changes.purge(86400.0) == 2
    assert (ward.now("A"), ward.now("C")) == (None, "C")
    next(ward.folder.glob("*.patient")).write_bytes(b"{}")
    with pytest.raises(NodeError, match="cannot be read"):
        ward.changes.current(Identity("C"))
