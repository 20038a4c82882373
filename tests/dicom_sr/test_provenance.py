from __future__ import annotations

import itertools
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path

import pytest
from pydicom.sr.coding import Code

from dicom_sr.errors import EncodingError
from dicom_sr.findings import ImageReference, LeftAside
from dicom_sr.profile import DICOM_KINDS, EncodingProfile
from dicom_sr.provenance import Provenance
from dicom_sr.write.encode import encode
from tests.factories import MODEL, knee_result, knee_study

CREATED = datetime(2026, 11, 22, 14, 5, 6, tzinfo=UTC)
KINDS = DICOM_KINDS  # the others are in no series


def provenance(folder: Path, **changes: object) -> Provenance:
    model = replace(MODEL, **changes)  # type: ignore[arg-type]
    return Provenance(knee_result(knee_study(folder), model), EncodingProfile(), CREATED)


def test_series_numbers_begin_at_the_base_of_the_pipeline_and_end_with_the_sources(tmp_path: Path) -> None:
    one = provenance(tmp_path, series_base=3000)
    source = int(one.header.SeriesNumber)
    assert one.series_number("derived_series") == 3000 * 1000 + source
    assert one.series_number("secondary_capture") == 3001 * 1000 + source


def test_no_two_series_of_a_result_have_one_number(tmp_path: Path) -> None:
    one = provenance(tmp_path)
    numbers = [one.series_number(kind, index) for kind, index in itertools.product(KINDS, range(9))]
    assert len(set(numbers)) == len(numbers)
    assert max(numbers) < 2**31


def test_a_pipeline_that_names_no_base_has_one_by_its_name(tmp_path: Path) -> None:
    numbers = {
        name: provenance(tmp_path / name, name=name, series_base=None).series_number("derived_series") // 1000
        for name in ("shoulder", "elbow")
    }
    assert numbers["shoulder"] != numbers["elbow"]
    assert all(3300 <= base < 3300 + 50 * 100 and base % 100 == 0 for base in numbers.values())


def test_a_private_code_that_nobody_knows_is_an_error(tmp_path: Path) -> None:
    one = provenance(tmp_path)
    result = one.result
    finding = replace(result.findings[0], finding=Code("TEAR", "99NOBODY", "Tendon tear"))  # type: ignore[union-attr]
    with pytest.raises(EncodingError, match="99NOBODY"):
        _ = replace(one, result=replace(result, findings=(finding,))).coding_schemes  # type: ignore[arg-type]


def test_what_says_other_limits_or_was_held_against_another_report_is_another_object(tmp_path: Path) -> None:
    study = knee_study(tmp_path / "source")
    result = knee_result(study, MODEL)
    (image,) = study.series[0].instances[:1]
    aside = (LeftAside("a localizer", (ImageReference(image.sop_instance_uid),)),)
    others = [
        result,
        replace(result, limits=(*result.limits, "The archive did not answer.")),
        replace(result, left_aside=aside),
        replace(result, left_aside=(replace(aside[0], reason="in colour"),)),
        replace(result, compared_with=("2.25.1",)),
    ]
    profile = EncodingProfile(kinds=("report", "secondary_capture"))
    uids: list[str] = []
    for number, one in enumerate(others):
        uids += [made.sop_instance_uid for made in encode(one, profile, CREATED, tmp_path / str(number))]
    assert len(uids) >= 2 * len(others)
    assert len(set(uids)) == len(uids)
