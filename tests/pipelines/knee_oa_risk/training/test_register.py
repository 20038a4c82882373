"""Training on a site's records: who counts, from when, until when, and a whole training by the command."""

from __future__ import annotations

import json
import shutil
from dataclasses import replace
from datetime import date, timedelta
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from dicom_sr.errors import UnsuitableInput
from dicom_sr.findings import Result
from dicom_sr.series import Study
from pipelines.context import CodedEvent
from pipelines.knee_oa_risk import BUNDLE, KneeOaRisk, KneeOaRiskSettings
from pipelines.knee_oa_risk.evaluation import evaluate
from pipelines.knee_oa_risk.model import Ensemble
from pipelines.knee_oa_risk.simulation.population import Population, simulate
from pipelines.knee_oa_risk.simulation.sample import patient_bundle
from pipelines.knee_oa_risk.training import register, train
from pipelines.knee_oa_risk.training.measures import auroc, censoring_weights
from pipelines.records.fhir import read_people
from pipelines.records.record import Identity, Record
from tests.pipelines.knee_oa_risk.conftest import INDEX

ICD10 = "http://hl7.org/fhir/sid/icd-10"
WHO = Identity("1", birth_date=date(1950, 1, 1), sex="F")


def event(code: str, day: date, kind: str = "condition", **more: Any) -> CodedEvent:
    return CodedEvent(kind, ICD10, code, day, **more)  # type: ignore[arg-type]


def gathered(*events: CodedEvent, who: Identity = WHO, died: date | None = None) -> register.GatheredRecords:
    return register.gather([Record(who, events, died)])


# ---- who is looked at, when, and what became of them
def test_people_are_looked_at_once_a_year_until_their_diagnosis() -> None:
    first = date(2010, 1, 1)
    diagnosis = first + timedelta(weeks=65) + timedelta(days=3 * 365 + 100)
    seen = gathered(event("I10", first), event("M17.1", diagnosis), event("I10", date(2019, 1, 1))).register
    assert seen is not None
    assert (len(seen), seen.people, seen.diagnosed) == (4, 1, 1)
    assert (seen.time * 365.25).round().tolist() == [1195, 830, 465, 100]
    assert seen.status.tolist() == [1, 1, 1, 1]
    assert seen.cases() == (1, 3, 4)
    assert seen.observed_weeks.tolist() == [52, 104, 156, 157]


@pytest.mark.parametrize(
    ("died", "status", "end"),
    [(None, 0, date(2016, 5, 1)), (date(2014, 5, 1), 2, date(2014, 5, 1))],
)
def test_follow_up_ends_with_the_last_entry_or_with_death(died: Any, status: int, end: Any) -> None:
    stay = event("", date(2016, 4, 1), "encounter", end=date(2016, 5, 1))
    seen = gathered(event("I10", date(2010, 1, 1)), stay, died=died).register
    assert seen is not None
    assert set(seen.status.tolist()) == {status}
    last = date(2010, 1, 1) + timedelta(weeks=65) + timedelta(days=365 * (len(seen) - 1))
    assert seen.time[-1] == pytest.approx((end - last).days / 365.25)


def test_what_is_dated_before_birth_or_ahead_of_today_is_not_believed() -> None:
    dates = (date.min, date(2015, 1, 1), date(2018, 1, 1), date.today() + timedelta(days=4000))
    seen = gathered(*(event("I10", day) for day in dates)).register
    assert seen is not None
    assert len(seen) == 2
    assert seen.time.max() < 2


@pytest.mark.parametrize(
    ("events", "who", "why"),
    [
        ((), WHO, "nothing recorded"),
        ((event("I10", date(2015, 1, 1)),), replace(WHO, birth_date=None), "no birth date"),
        ((event("I10", date(2015, 1, 1)), event("I10", date(2016, 1, 1))), WHO, "too short a record"),
        ((event("I10", date(2015, 1, 1)), event("M17", date(2015, 5, 1))), WHO, "diagnosed before"),
        ((event("I10", date(1960, 1, 1)), event("I10", date(1970, 1, 1))), WHO, "never 30 to 90"),
        ((event("I10", date(2010, 1, 1)), event("?", date(2014, 1, 1)), event("??", date(2014, 1, 1))), WHO, None),
        ((event("?", date(2010, 1, 1)), event("I10", date(2014, 1, 1))), WHO, "more than 30% unknown codes"),
    ],
)
def test_whoever_cannot_be_used_is_counted_with_the_reason(events: Any, who: Any, why: str | None) -> None:
    found = gathered(*events, who=who)
    assert found.people == 1
    assert (found.register is None) == (why is not None)
    assert [reason.startswith(why or "nothing") for reason in found.left_out] == ([] if why is None else [True])


def test_a_person_is_in_one_part_only_and_drawn_with_all_of_their_landmarks() -> None:
    people = [Record(WHO, (event("I10", date(2000, 1, 1)), event("E11", date(2003 + n % 5, 1, 1)))) for n in range(40)]
    seen = register.gather(people).register
    assert seen is not None
    parts = seen.parts(1)
    groups = [set(part.person.tolist()) for part in parts]
    assert sum(map(len, groups)) == len(set().union(*groups)) == 40
    assert [len(group) for group in groups] == [28, 6, 6]
    drawn = parts[0].resampled(np.random.default_rng(2))
    per_person = dict(zip(*np.unique(seen.person, return_counts=True), strict=True))
    for person, count in zip(*np.unique(drawn.person, return_counts=True), strict=True):
        assert count % per_person[person] == 0
    assert drawn.batch.dense().shape[0] == len(drawn)


# ---- folders
def test_a_site_gets_a_model_of_its_own_from_omop_tables_by_one_command(
    site: tuple[Path, Population, list[int]],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    folder, people, chosen = site
    monkeypatch.setattr(train, "DIAGNOSED_TO_TRAIN", 50)
    monkeypatch.setattr(train, "CASES_TO_CALIBRATE", 5)
    bundle = tmp_path / "bundle"
    arguments = ["--data", str(folder), "--output", str(bundle), "--members", "2", "--epochs", "2"]
    assert train.main(arguments) == 0
    said = capsys.readouterr().err
    assert "200 people, 100 diagnosed" in said

    model = KneeOaRisk(KneeOaRiskSettings(bundle=bundle))
    assert model.model.trained_on == (
        "trained on records of 200 people, 100 of them diagnosed, of one site, not for clinical use"
    )
    assert "simulated" not in model.model.trained_on
    assert model.model.weights_digest != KneeOaRisk(KneeOaRiskSettings()).model.weights_digest
    card = Ensemble.load(bundle).description
    assert {row["horizon"] for row in card.measured} == {1, 3, 5}
    # who is ill after all has the higher risk: something was learned from the tables
    seen = register.gather(register.read_folders([folder])).register
    assert seen is not None
    weight, ill = censoring_weights(seen.time, seen.status, 3)
    assert auroc(Ensemble.load(bundle).risk(seen.batch).value[:, 1], ill, weight) > 0.65

    made = read_one(people, chosen[0], model)
    text = " ".join((*made.conclusion, *made.limits, *(panel.caption for panel in made.pages[0].panels)))
    assert "records of one site" in text
    assert "simulated" not in text


def read_one(people: Population, person: int, model: KneeOaRisk) -> Result:
    (record,) = read_people(patient_bundle(people, person, "P-1", "Doe", "Jane", INDEX))
    return model.run(Study("1.2", ()), record.context(INDEX))


def test_bundles_and_bulk_exports_give_the_same_people(tmp_path: Path) -> None:
    people = simulate(40, 3)
    bundles, bulk = tmp_path / "bundles", tmp_path / "bulk"
    bundles.mkdir()
    bulk.mkdir()
    lines = []
    for person in np.flatnonzero(people.observed_weeks == 157)[:3]:
        content = patient_bundle(people, int(person), str(person), "Doe", "Jane", INDEX)
        (bundles / f"{person}.json").write_text(json.dumps(content))
        for entry in content["entry"]:
            entry["resource"]["id"] = f"x{person}" if entry is content["entry"][0] else None
            if "subject" in entry["resource"]:
                entry["resource"]["subject"] = {"reference": f"Patient/x{person}"}
            lines.append(json.dumps({k: v for k, v in entry["resource"].items() if v is not None}))
    (bulk / "export.ndjson").write_text("\n".join(lines) + "\n\n")
    one, other = (list(register.read_folders([folder])) for folder in (bundles, bulk))
    assert [len(record.events) for record in one] == [len(record.events) for record in other]
    assert [record.events for record in one] == [record.events for record in other]


def test_the_shared_tables_hold_too_few_diagnoses_and_that_is_said(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    archive = shared_data / "emr/omop-synthea27/Synthea27Nj_5.4.zip"
    assert train.main(["--data", str(archive), "--output", str(tmp_path / "bundle")]) == 1
    said = capsys.readouterr().err
    assert "not trained: training needs at least 100 people with a first diagnosis" in said
    assert "these records have 3, 2 of them" in said
    assert not (tmp_path / "bundle").exists()


def test_the_shared_bundles_hold_too_few_diagnoses_and_that_is_said(
    shared_data: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = shared_data / "emr/fhir-control"
    assert train.main(["--data", str(folder), "--output", str(tmp_path / "bundle")]) == 1
    assert "not trained: " in capsys.readouterr().err


def test_a_folder_with_nothing_to_read_is_refused_by_its_name(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    (tmp_path / "empty").mkdir()
    with pytest.raises(UnsuitableInput, match="empty: holds no OMOP tables"):
        list(register.read_folders([tmp_path / "empty"]))
    assert train.main(["--data", str(tmp_path / "empty"), "--output", str(tmp_path / "bundle")]) == 1
    assert "holds no OMOP tables" in capsys.readouterr().err


PERSON = "person_id,gender_concept_id,year_of_birth,month_of_birth,day_of_birth\n1,8507,1950,1,1\n"
CONCEPT = "concept_id,vocabulary_id,concept_code,concept_name\n1,ICD10CM,I10,x\n"
CONDITION = "person_id,condition_concept_id,condition_start_date\n1,1,2015-01-01\n"


@pytest.mark.parametrize(
    ("files", "why"),
    [
        ({"PERSON.csv": PERSON}, "no table CONCEPT in it"),
        (
            {"PERSON.csv": PERSON.replace("gender_concept_id", "sex"), "CONCEPT.csv": CONCEPT},
            "a table lacks the column gender_concept_id",
        ),
        (
            {
                "PERSON.csv": PERSON,
                "CONCEPT.csv": CONCEPT,
                "CONDITION_OCCURRENCE.csv": CONDITION.replace("condition_start_date", "day"),
            },
            "a table lacks the column condition_start_date",
        ),
        (
            {"PERSON.csv": PERSON, "CONCEPT.csv": CONCEPT, "CONDITION_OCCURRENCE.csv": CONDITION},
            "nobody in these records can be used: 1 left out: too short a record",
        ),
        ({"a.json": '{"resourceType": "Medication"}'}, "a.json: not a FHIR bundle"),
        ({"a.json": '["a list"]'}, "a.json: not a FHIR bundle"),
        ({"a.json": '{"resourceType": '}, "a.json: not JSON"),
        ({"a.json": b'{"resourceType": "\xfc"}'}, "a.json: not in UTF-8"),
        ({"a.ndjson": b'{"resourceType": "\xfc"}'}, "a.ndjson: not in UTF-8"),
        (
            {"a.json": '{"resourceType": "Bundle", "entry": [{"resource": {"resourceType": "Medication"}}]}'},
            "nobody in these records can be used: there is no Patient resource",
        ),
    ],
)
def test_records_that_will_not_do_end_training_and_evaluation_with_one_sentence(
    tmp_path: Path, capsys: pytest.CaptureFixture[str], files: dict[str, str | bytes], why: str
) -> None:
    (tmp_path / "site").mkdir()
    for name, content in files.items():
        (tmp_path / "site" / name).write_bytes(content if isinstance(content, bytes) else content.encode())
    for main, output in ((train.main, "--output"), (evaluate.main, "--report")):
        assert main(["--data", str(tmp_path / "site"), output, str(tmp_path / "new")]) == 1
        said = capsys.readouterr().err.splitlines()
        assert why in said[-1]
        assert not (tmp_path / "new").exists()


def test_a_layout_that_the_folder_does_not_have_is_said(tmp_path: Path) -> None:
    (tmp_path / "person.csv").touch()
    with pytest.raises(UnsuitableInput, match="holds no FHIR export"):
        list(register.read_folders([tmp_path], "fhir"))
    (tmp_path / "person.csv").unlink()
    (tmp_path / "one.json").write_text("{}")
    with pytest.raises(UnsuitableInput, match="holds no OMOP tables"):
        list(register.read_folders([tmp_path], "omop"))


def test_a_bundle_folder_that_holds_no_model_is_refused_when_the_configuration_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r"holds no weights\.safetensors and no model\.json"):
        KneeOaRiskSettings(bundle=tmp_path)


def test_a_recalibration_that_is_not_there_is_refused_when_the_configuration_is_read(tmp_path: Path) -> None:
    with pytest.raises(ValueError, match="is no file"):
        KneeOaRiskSettings(recalibration=tmp_path / "none.json")


def test_a_model_of_another_vocabulary_is_refused_in_words(tmp_path: Path) -> None:
    shutil.copytree(BUNDLE, tmp_path / "old")
    card = json.loads((tmp_path / "old" / "model.json").read_text())
    (tmp_path / "old" / "model.json").write_text(json.dumps({**card, "codes": 90}))
    with pytest.raises(ValueError, match="trained on 90 codes"):
        Ensemble.load(tmp_path / "old")
