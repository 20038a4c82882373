"""The numbers of a result as rows of a table."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from dicom_sr.findings import Measurement, Result, Site

if TYPE_CHECKING:
    import pandas

Row = dict[str, Any]
COLUMNS = (
    "study_instance_uid",
    "series_instance_uid",  # empty where the result rests on several
    "tracking_id",
    "finding",
    "site",
    "laterality",  # R, L or B
    "measurement",
    "value",  # None where it could not be evaluated
    "unit",  # UCUM
    "interval_low",
    "interval_high",
    "interval_level",  # nominal coverage of the interval
    "standard_deviation",
    "reason",  # why it could not be evaluated
)
NO_PANDAS = (
    "measurements are a pandas data frame, and pandas is not installed: pip install pandas; "
    "measurement_rows has the same as a list of dictionaries"
)


def rows(result: Result) -> list[Row]:
    """A row for each measurement, and one for each site that could not be evaluated, never with a number."""
    series = [one.series_instance_uid for one in result.evidence]
    common = {
        "study_instance_uid": result.evidence[0].study_instance_uid if result.evidence else "",
        "series_instance_uid": series[0] if len(series) == 1 else "",
    }
    found = [
        common
        | {"tracking_id": finding.tracking_id, "finding": finding.finding.meaning}
        | _site(finding.site)
        | _numbers(measurement)
        for finding in result.findings
        for measurement in finding.measurements
    ]
    missing = [
        common
        | {"tracking_id": item.tracking_id, "finding": item.what.meaning, "reason": item.sentence}
        | _site(item.site)
        for item in result.not_evaluable
    ]
    return [{column: row.get(column) for column in COLUMNS} for row in (*found, *missing)]


def _site(site: Site | None) -> Row:
    if site is None:
        return {"site": "", "laterality": ""}
    return {"site": (site.modifier or site.region).meaning, "laterality": site.laterality or ""}


def _numbers(measurement: Measurement) -> Row:
    low, high = measurement.interval or (None, None)
    return {
        "measurement": measurement.name.meaning,
        "value": measurement.value,
        "unit": measurement.unit.value,
        "interval_low": low,
        "interval_high": high,
        "interval_level": None if measurement.interval is None else measurement.interval_level,
        "standard_deviation": measurement.standard_deviation,
        "reason": "",
    }


def as_data_frame(found: list[Row]) -> pandas.DataFrame:
    """The rows as a pandas data frame.

    Raises
    ------
    ImportError
        If pandas is not installed.
    """
    try:
        import pandas
    except ImportError as error:
        raise ImportError(NO_PANDAS) from error
    return pandas.DataFrame(found, columns=list(COLUMNS))
