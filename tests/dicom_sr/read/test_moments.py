from __future__ import annotations

from datetime import UTC, datetime, timedelta, timezone

import pytest
from pydicom.dataset import Dataset

from dicom_sr.read.moments import taken


def header(**elements: str) -> Dataset:
    ds = Dataset()
    for keyword, value in elements.items():
        setattr(ds, keyword, value)
    return ds


def test_the_latest_time_of_any_image_counts() -> None:
    early = header(StudyDate="20260105", StudyTime="101500", ContentDate="20260105", ContentTime="101730.25")
    late = header(StudyDate="20260105", StudyTime="101500", AcquisitionDateTime="20260106000102.5+0100")
    assert taken([early]) == datetime(2026, 1, 5, 10, 17, 30, tzinfo=UTC)
    assert taken([late, early]) == datetime(2026, 1, 6, 0, 1, 2, tzinfo=UTC)


def test_the_zone_of_the_headers_is_kept() -> None:
    moment = taken([header(StudyDate="20260105", StudyTime="0915", TimezoneOffsetFromUTC="-0330")])
    assert moment is not None
    assert moment == datetime(2026, 1, 5, 9, 15, tzinfo=timezone(-timedelta(hours=3, minutes=30)))
    assert moment.strftime("%H%M%S") == "091500"


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("time", ["", "9", "ab", "24", "246199"])
def test_a_day_without_a_time_begins_at_midnight(time: str) -> None:
    assert taken([header(StudyDate="20260105", StudyTime=time)]) == datetime(2026, 1, 5, tzinfo=UTC)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize("day", ["", "2026", "20261341", "00010101", "99991231", "2026.01.05"])
def test_what_is_no_day_of_an_image_is_no_time(day: str) -> None:
    assert taken([header(StudyDate=day, StudyTime="101500")]) is None
    assert taken([]) is None
