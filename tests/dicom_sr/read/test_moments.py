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
    assert taken([late, early]) == datetime(2026, 1, 6, 0, 1, 2, tzinfo=timezone(timedelta(hours=1)))


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
@pytest.mark.parametrize("day", ["", "2026", "20261341", "00010101", "99991231", "21010101", "2026-01-05"])
def test_what_is_no_day_of_an_image_is_no_time(day: str) -> None:
    assert taken([header(StudyDate=day, StudyTime="101500")]) is None
    assert taken([]) is None


EAST = timezone(timedelta(hours=2))


def test_a_time_with_a_zone_of_its_own_is_told_in_that_of_its_header() -> None:
    moment = taken([header(AcquisitionDateTime="20240101120000.000000+0000", TimezoneOffsetFromUTC="+0200")])
    assert moment is not None
    assert moment.isoformat() == "2024-01-01T14:00:00+02:00"


def test_an_image_without_a_zone_is_in_that_of_the_others() -> None:
    one = header(StudyDate="20240101", StudyTime="120000", TimezoneOffsetFromUTC="+0200")
    other = header(StudyDate="20240101", StudyTime="113000")
    assert taken([other, one]) == taken([one, other]) == datetime(2024, 1, 1, 12, tzinfo=EAST)


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
def test_a_day_with_points_and_a_time_with_colons_are_read() -> None:
    old = header(StudyDate="2024.01.01", StudyTime="12:34:56.7")
    assert taken([old]) == datetime(2024, 1, 1, 12, 34, 56, tzinfo=UTC)
