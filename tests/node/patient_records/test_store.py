"""The store of records: named by nobody, merged, encrypted, forgotten; identities compared and never guessed."""

from __future__ import annotations

import os
import stat
import subprocess
import sys
from dataclasses import replace
from datetime import date
from pathlib import Path
from typing import Any

import pytest

from dicom_sr.errors import UnsuitableInput
from node.errors import ConfigurationError, NodeError
from node.patient_records import store as store_module
from node.patient_records.store import PatientRecords, new_key
from pipelines.context import CodedEvent
from pipelines.records.record import DAY_UNKNOWN, Identity, IdentityMismatch, Record, chosen_identifiers
from tests.node.patient_records.stored import there

WHO = Identity("4711", "HOSPITAL", "Müller-Lüdenscheidt", "Anna Maria", date(1960, 5, 4), "F")
EVENT = CodedEvent("condition", "http://snomed.info/sct", "38341003", date(2020, 1, 2))


def record(*events: CodedEvent, who: Identity = WHO) -> Record:
    return Record(who, events or (EVENT,), source="test")


def test_a_record_comes_back_as_it_went_in(tmp_path: Path) -> None:
    drug = CodedEvent(
        "medication", "http://www.whocc.no/atc", "M01AE01", date(2021, 2, 3), date(2021, 3, 3), "x", None, "", 28.0
    )
    store = PatientRecords(tmp_path / "records")
    store.add(replace(record(EVENT, drug), died=date(2024, 1, 1)))
    assert PatientRecords(tmp_path / "records").get("4711", "HOSPITAL") == replace(
        record(EVENT, drug), died=date(2024, 1, 1)
    )
    assert store.get("4711") is None  # the same number of another issuer is another person
    assert store.get("4712", "HOSPITAL") is None


def test_no_file_tells_whose_record_it_is(tmp_path: Path) -> None:
    for folder in ("one", "two"):
        PatientRecords(tmp_path / folder).add(record())
    names = [sorted(path.name for path in (tmp_path / folder).glob("*.record")) for folder in ("one", "two")]
    assert names[0] != names[1]  # keyed: the digest of a patient ID cannot be looked up in a list of digests
    assert "4711" not in "".join(names[0])
    modes = [stat.S_IMODE(path.stat().st_mode) for path in (tmp_path / "one").iterdir()]
    assert set(modes) == {0o600}


def test_a_repr_tells_nothing_of_the_patient() -> None:
    text = repr(record()) + repr(WHO) + repr(IdentityMismatch("birth date"))
    assert all(secret not in text for secret in ("4711", "Müller", "Anna", "1960", "38341003"))


def test_with_a_key_nothing_can_be_read_on_disk_and_another_key_does_not_help(tmp_path: Path) -> None:
    for name in ("right.key", "wrong.key"):
        (tmp_path / name).write_bytes(new_key())
    PatientRecords(tmp_path / "records", tmp_path / "right.key").add(record())
    (path,) = (tmp_path / "records").glob("*.record")
    assert b"4711" not in path.read_bytes()
    assert PatientRecords(tmp_path / "records", tmp_path / "right.key").get("4711", "HOSPITAL") == record()
    with pytest.raises(ConfigurationError, match="not written with this key"):
        PatientRecords(tmp_path / "records", tmp_path / "wrong.key").get("4711", "HOSPITAL")


@pytest.mark.parametrize(("content", "told"), [(None, "there is no such file"), (b"hello", "holds no key")])
def test_a_bad_key_file_is_told_at_the_start(tmp_path: Path, content: bytes | None, told: str) -> None:
    path = tmp_path / "records.key"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(ConfigurationError, match=told):
        PatientRecords(tmp_path / "records", path)


def test_what_comes_later_is_added_and_what_is_known_is_not_doubled(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    later = replace(EVENT, start=date(2022, 1, 1))
    store.add(record(EVENT))
    store.add(replace(record(EVENT, later), source="HL7 v2"))
    found = there(store.get("4711", "HOSPITAL"))
    assert found.events == (EVENT, later)
    assert found.source == "test, HL7 v2"


def test_a_record_of_somebody_else_under_the_same_number_is_refused(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    store.add(record())
    with pytest.raises(IdentityMismatch) as error:
        store.add(record(who=replace(WHO, birth_date=date(1999, 1, 1))))
    assert error.value.what == "birth date"
    assert "1999" not in str(error.value)
    assert store.get("4711", "HOSPITAL") == record()


def test_records_of_one_delivery_are_merged_and_refused_one_by_one_however_they_are_grouped(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    later = replace(EVENT, start=date(2022, 1, 1))
    delivery = [
        record(who=replace(WHO, patient_id="2")),
        record(EVENT),
        record(later),  # of the same patient, told of twice
        record(who=replace(WHO, birth_date=date(1999, 1, 1))),
        record(who=replace(WHO, patient_id="3")),
    ]
    for name, group, size in (("one", 250, 2**24), ("by two", 2, 2**24), ("small", 250, 1)):
        monkeypatch.setattr(store_module, "GROUP", group)
        monkeypatch.setattr(store_module, "GROUP_BYTES", size)
        store = PatientRecords(tmp_path / name)
        refusals = store.add_all(delivery)
        assert [refusal and str(refusal) for refusal in refusals] == [
            None,
            None,
            None,
            str(IdentityMismatch("birth date")),
            None,
        ]
        assert there(store.get("4711", "HOSPITAL")).events == (EVENT, later)
        assert len(store) == 3
        assert {path.suffix for path in (tmp_path / name).iterdir()} == {".record", ".key", ""}  # and the lock


def test_a_record_that_grows_without_end_is_refused_and_what_is_stored_stays(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(store_module, "LARGEST_RECORD", 1000)
    store = PatientRecords(tmp_path)
    other = replace(WHO, patient_id="4712")
    store.add(record())
    many = record(*(replace(EVENT, start=date(2020, 1, day)) for day in range(1, 20)))
    refused, stored = store.add_all([many, record(who=other)])
    assert str(refused) == "the patient's record would take more than 0 MB"
    assert stored is None
    assert store.get("4711", "HOSPITAL") == record()
    store.add(record(replace(EVENT, start=date(2020, 1, 3)), who=other))
    monkeypatch.setattr(store_module, "LARGEST_RECORD", 500)
    with pytest.raises(UnsuitableInput, match="would take more"):
        store.rename(("4712", "HOSPITAL"), ("4711", "HOSPITAL"))
    assert store.get("4712", "HOSPITAL") is not None


def test_the_names_of_many_records_are_flushed_together(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    flushed: list[bool] = []
    fsync = os.fsync

    def counted(descriptor: int) -> None:
        flushed.append(stat.S_ISDIR(os.fstat(descriptor).st_mode))
        fsync(descriptor)

    store = PatientRecords(tmp_path)
    store.add(record())  # makes the folder's key too
    monkeypatch.setattr(os, "fsync", counted)
    store.add_all(record(who=replace(WHO, patient_id=str(number))) for number in range(20))
    assert (flushed.count(False), flushed.count(True)) == (20, 1)


def test_a_merge_moves_the_record_and_joins_it_to_what_is_there(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    later = replace(EVENT, start=date(2022, 1, 1))
    store.add(record(EVENT, who=replace(WHO, patient_id="old")))
    store.add(record(later))
    store.rename(("old", "HOSPITAL"), ("4711", "HOSPITAL"))
    assert store.get("old", "HOSPITAL") is None
    assert set(there(store.get("4711", "HOSPITAL")).events) == {EVENT, later}
    store.rename(("nobody", ""), ("4711", "HOSPITAL"))
    assert len(store) == 1


def test_records_are_forgotten_when_asked_and_when_old(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    store.add(record())
    store.add(record(who=replace(WHO, patient_id="2")))
    assert store.delete("2", "HOSPITAL")
    assert not store.delete("2", "HOSPITAL")
    assert store.purge(older_than_s=3600) == 0
    (path,) = tmp_path.glob("*.record")
    os.utime(path, (0, 0))
    assert store.purge(older_than_s=3600) == 1
    assert len(store) == 0


def test_a_pipeline_is_told_birth_date_and_sex_and_nothing_else_of_the_person() -> None:
    context = record().context(date(2024, 1, 1))
    assert (context.birth_date, context.sex, context.events) == (WHO.birth_date, "F", (EVENT,))
    assert "4711" not in repr(context)


@pytest.mark.parametrize(
    ("other", "what"),
    [
        (WHO, None),
        (replace(WHO, family_name="MUELLER LUEDENSCHEIDT"), "family name"),  # no guessing of transliterations
        (replace(WHO, family_name="MULLER LUDENSCHEIDT", given_name="ANNA"), None),
        (replace(WHO, family_name="Meier"), "family name"),
        (replace(WHO, given_name="Hanna"), "given name"),
        (replace(WHO, given_name=""), None),
        (replace(WHO, birth_date=date(1960, 4, 5)), "birth date"),
        (replace(WHO, birth_date=None), None),
        (replace(WHO, sex="M"), "sex"),
        (replace(WHO, sex="O"), None),
        (replace(WHO, family_name="", given_name=""), None),  # the birth date is there to tell
        (replace(WHO, family_name="", given_name="", birth_date=None), "name and birth date (neither can be compared)"),
    ],
)
def test_identities_agree_or_the_field_is_named(other: Any, what: str | None) -> None:
    assert WHO.mismatch(other) == what


@pytest.mark.parametrize(
    ("issuers", "expected"),
    [
        ({}, [("m1", "HOME")]),  # the medical record number
        ({"urn:a": "A"}, [("s9", "A")]),
        ({"urn:a": "A", "urn:m": "M"}, [("s9", "A"), ("m1", "M")]),
        ({"urn:none": "X"}, []),
    ],
)
def test_the_identifiers_that_count_are_those_configured_or_medical_record_numbers(issuers: Any, expected: Any) -> None:
    identifiers = [("s9", "urn:a", "SS"), ("m1", "urn:m", "MR"), ("", "urn:a", "MR")]
    assert chosen_identifiers(identifiers, issuers, "HOME") == expected


def test_the_only_identifier_counts_whatever_its_type() -> None:
    assert chosen_identifiers([("1", "urn:x", "")], {}, "") == [("1", "")]


# ---- what senders take back, and what they should not send
def test_what_is_taken_back_is_gone_whatever_else_was_corrected_in_it(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    other = replace(EVENT, code="44054006")
    store.add(record(EVENT, other))
    wrong = replace(EVENT, display="a longer name", end=date(2021, 1, 1))
    store.add(Record(WHO, (), source="test", retracted=(wrong,)))
    assert there(store.get("4711", "HOSPITAL")).events == (other,)
    store.add(record(EVENT))  # told again, it holds again
    assert there(store.get("4711", "HOSPITAL")).events == (other, EVENT)


def test_the_day_of_a_death_is_kept_when_another_source_only_knows_of_the_death(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    store.add(replace(record(), died=DAY_UNKNOWN))
    store.add(record())
    assert there(store.get("4711", "HOSPITAL")).died == DAY_UNKNOWN
    store.add(replace(record(), died=date(2024, 5, 1)))
    store.add(replace(record(), died=DAY_UNKNOWN))
    assert there(store.get("4711", "HOSPITAL")).died == date(2024, 5, 1)


def test_text_that_is_no_unicode_is_kept_all_the_same(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    store.add(record(replace(EVENT, display="broken \ud800")))
    assert there(store.get("4711", "HOSPITAL")).events[0].display == "broken \ud800"


def test_a_bar_in_an_issuer_leads_to_nobody_elses_record(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    store.add(record(who=replace(WHO, patient_id="C", issuer="A|B")))
    assert store.get("B|C", "A") is None
    assert store.get("C", "A|B") is not None


def test_two_processes_that_add_at_once_lose_nothing(tmp_path: Path) -> None:
    code = (
        "import sys; from datetime import date; from pathlib import Path\n"
        "from node.patient_records.store import PatientRecords\n"
        "from pipelines.context import CodedEvent; from pipelines.records.record import Identity, Record\n"
        "store = PatientRecords(Path(sys.argv[1]))\n"
        "for n in range(40):\n"
        "    event = CodedEvent('condition', 's', f'{sys.argv[2]}-{n}', date(2020, 1, 1))\n"
        "    store.add(Record(Identity('1', birth_date=date(1960, 1, 1)), (event,)))\n"
    )
    both = [subprocess.Popen([sys.executable, "-c", code, str(tmp_path), name]) for name in "ab"]
    assert [process.wait(60) for process in both] == [0, 0]
    assert len(there(PatientRecords(tmp_path).get("1")).events) == 80


@pytest.mark.parametrize("content", [b"", b"[]", b"{}", b'{"identity": 5}'])
def test_a_damaged_record_is_told_by_the_name_of_its_file(tmp_path: Path, content: bytes) -> None:
    store = PatientRecords(tmp_path)
    store.add(record())
    (path,) = tmp_path.glob("*.record")
    path.write_bytes(content)
    with pytest.raises(NodeError, match=f"cannot be read.*{path.name}"):
        store.get("4711", "HOSPITAL")


def test_a_birth_date_known_to_the_day_is_not_replaced_by_a_year(tmp_path: Path) -> None:
    year = replace(WHO, birth_date=date(WHO.birth_date.year, 7, 1), birth_precision="year") if WHO.birth_date else WHO
    store = PatientRecords(tmp_path)
    store.add(record(who=year))
    assert there(store.get("4711", "HOSPITAL")).identity == year
    store.add(record(who=WHO))
    store.add(record(who=year))
    assert there(store.get("4711", "HOSPITAL")).identity == WHO


def test_the_precision_of_a_date_is_kept(tmp_path: Path) -> None:
    store = PatientRecords(tmp_path)
    store.add(record(replace(EVENT, precision="month")))
    assert [event.precision for event in there(store.get("4711", "HOSPITAL")).events] == ["month"]


def test_a_year_of_birth_alone_does_not_tell_that_two_are_one_person() -> None:
    nameless = replace(WHO, family_name="", given_name="", birth_precision="year")
    assert nameless.mismatch(WHO) == "name and birth date (neither can be compared)"
