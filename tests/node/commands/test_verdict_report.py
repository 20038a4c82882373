"""The page of how far readers agree: its tables are there for each version, device and month."""

from __future__ import annotations

import csv
from collections import Counter
from dataclasses import replace
from pathlib import Path

import pytest
from PIL import Image

from dicom_sr.assessment import Answer
from node.commands.verdict_report import summary, write_report
from node.verdicts.agreement import Reading, Value


@pytest.fixture(scope="module")
def readings() -> list[Reading]:
    found = []
    for number in range(12):
        answer = Answer.MODIFY if number % 4 == 0 else Answer.ACCEPT
        score = Value("Erosion score", "", 2.0, 3.0 if answer == Answer.MODIFY else 2.0, points=True, grade=True)
        same = Value("Erosion score", "", float(number % 3), float(number % 3), points=True, grade=True)
        kind = Value("Class", "", "99X:RA", "99X:PSA" if answer == Answer.MODIFY else "99X:RA")
        values = (score, same, kind)
        study = f"1.2.{number}"
        month = "2026-10" if number < 10 else "2026-11"
        found.append(
            Reading(study, study, "r1", "hands", "1.0", "ACME <One>", month, answer, Counter([answer]), values)
        )
    return [*found, replace(found[0], pipeline="knee", values=())]


@pytest.fixture(scope="module")
def page(readings: list[Reading], tmp_path_factory: pytest.TempPathFactory) -> Path:
    return write_report(tmp_path_factory.mktemp("report") / "out", readings)


def rows(page: Path, name: str) -> list[dict[str, str]]:
    with (page.parent / f"{name}.csv").open(encoding="utf-8") as stream:
        return list(csv.DictReader(stream))


def test_every_version_device_and_month_has_its_share_or_says_that_it_has_too_few(page: Path) -> None:
    found = {(row["By"], row["Of"]): row for row in rows(page, "hands-results")}
    assert found["", "all"]["Accepted as they are"] == "75% (47 to 91)"
    assert found["version", "1.0"]["Readings"] == "12"
    assert found["device", "ACME <One>"]["Modified"] == "3"
    assert found["month", "2026-10"]["Accepted as they are"] == "70% (40 to 89)"
    assert found["month", "2026-11"]["Accepted as they are"] == "too few"
    assert [row["Month"] for row in rows(page, "hands-each")] == ["2026-10", "2026-11"]


def test_the_values_that_readers_changed_have_difference_limits_and_kappa(page: Path) -> None:
    found = {(row["By"], row["Of"]): row for row in rows(page, "hands-value-0")}
    assert found["", "all"]["Mean difference"].startswith("+0.12 (")
    assert found["", "all"]["Within half a point"].startswith("88% (")
    assert found["", "all"]["Kappa"]
    assert found["month", "2026-11"]["Limits of agreement"] == "too few"


def test_the_codes_that_readers_changed_have_the_share_of_the_same_or_say_that_they_are_too_few(page: Path) -> None:
    found = {(row["By"], row["Of"]): row for row in rows(page, "hands-code-0")}
    assert (found["", "all"]["Values"], found["", "all"]["The same"]) == ("12", "75%")
    assert (found["month", "2026-11"]["Values"], found["month", "2026-11"]["The same"]) == ("2", "too few")


def test_the_page_holds_its_pictures_and_names_devices_as_text(page: Path) -> None:
    text = page.read_text(encoding="utf-8")
    assert "ACME &lt;One&gt;" in text
    assert "<One>" not in text
    assert text.count("<img") == 3  # a share for each pipeline, and the differences of the score
    for name in ("hands-accepted", "hands-value-0", "knee-accepted"):
        with Image.open(page.parent / f"{name}.png") as picture:
            assert picture.width > 600


def test_a_sentence_sums_up_what_was_judged(readings: list[Reading]) -> None:
    assert summary(readings[:12]) == "12 readings of 12 studies by 1 reader: 9 accepted, 3 modified, 0 rejected."
