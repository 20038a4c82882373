"""`condyle verdicts`: what readers say about results, from the node's database."""

from __future__ import annotations

import csv
import io
from collections.abc import Iterator, Sequence
from datetime import datetime
from pathlib import Path

from pydicom.sr.coding import Code
from rich.table import Table
from rich.text import Text
from sqlalchemy.orm import Session

from dicom_sr.assessment import Answer
from dicom_sr.words import counted
from node.commands.exit_codes import NOT_RIGHT, OK
from node.commands.open_database import opened
from node.commands.terminal import console, print_whole
from node.database.verdicts import look_into_all
from node.files import write_whole
from node.listings import listing
from node.listings.verdicts import Listed, coded, in_listings, listed
from node.verdicts.verdict import Verdict, change_in_words, value_in_words

COLUMNS = (
    *("observed", "received", "study_instance_uid", "job", "pipeline", "version", "tracking_id", "tracking_uid"),
    *("finding", "site", "answer", "reason", "value", "before", "after", "unit", "comment", "observer", "device"),
    *("sender", "kind", "source", "superseded"),
)
STYLES = {Answer.ACCEPT: "green", Answer.MODIFY: "yellow", Answer.REJECT: "red"}
OBSERVER_SHOWN = 8  # digits of a reader's digest in the table
FORMULA = "=+-@\t\r"  # what a spreadsheet takes for the beginning of one


def verdicts(
    config: Path,
    *,
    since: datetime | None = None,
    pipeline: str = "",
    superseded: bool = False,
    export: Path | None = None,
    as_json: bool = False,
    limit: int = 50,
) -> int:
    """List the verdicts, latest first, or write all of them.

    Parameters
    ----------
    config
        The configuration file.
    since
        Only what was received then or later.
    pipeline
        Only about results of this one.
    superseded
        Also those that a later one by the same reader takes the place of.
    export
        A CSV file to write; a line for each value that was changed.
    as_json
        Print all of them as JSON.
    limit
        How many the table has at most.
    """
    _, database = opened(config)
    found = listed(database, since=since, pipeline=pipeline, superseded=superseded)
    if export is not None:
        try:
            write_whole(export, _as_csv(found).encode(), sync="never")
        except OSError as error:
            console(error=True).print(f"--export: {export}: cannot be written: {error.strerror}")
            return NOT_RIGHT
        console(error=True).print(f"{export}: {counted(len(found), 'verdict')}")
    if as_json:
        console().print_json(listing.as_json(in_listings(found)))
    elif export is None:
        print_whole(console(), _table(found[:limit]))
        if len(found) > limit:
            console(error=True).print(f"And {len(found) - limit} more; --limit shows them, --export writes all.")
    return OK


def read_all(config: Path) -> int:
    """Have everything that is stored looked into for verdicts, also what came before the node did so."""
    configuration, database = opened(config)
    with Session(database) as session, session.begin():
        count = look_into_all(session)
    when = "" if configuration.verdicts.read else ", once verdicts.read is true"
    console().print(f"{counted(count, 'object')} to look into{when}.")
    return OK


def _table(found: Sequence[Listed]) -> Table:
    table = Table(box=None, pad_edge=False)
    for heading in ("Observed", "Job", "Pipeline", "Finding", "Answer", "Reader"):
        table.add_column(heading, no_wrap=True)
    table.add_column("Values and reason", min_width=20)
    for one in found:
        said = one.said
        table.add_row(
            said.observed.astimezone().strftime("%Y-%m-%d %H:%M"),
            said.job_id[:12],
            one.pipeline,
            said.tracking_id or "the whole result",
            Text(said.answer + (" (superseded)" if one.superseded else ""), style=STYLES[said.answer]),
            said.observer[:OBSERVER_SHOWN] or said.device,
            "; ".join(_words(said)),
        )
    return table


def _words(said: Verdict) -> Iterator[str]:
    yield from (change_in_words(change) for change in said.changes)
    if said.reason is not None:
        yield value_in_words(said.reason)


def _as_csv(found: Sequence[Listed]) -> str:
    buffer = io.StringIO()
    writer = csv.DictWriter(buffer, COLUMNS, lineterminator="\r\n")
    writer.writeheader()
    for one in found:
        for row in _lines(one):
            writer.writerow({column: _harmless(text) for column, text in row.items()})
    return buffer.getvalue()


def _lines(one: Listed) -> Iterator[dict[str, str]]:
    for change in one.said.changes or (None,):
        values = {"value": "", "before": "", "after": "", "unit": ""}
        if change is not None:
            values = {
                "value": coded(change.name),
                "before": _plain(change.before),
                "after": _plain(change.after),
                "unit": str(change.unit.value) if change.unit else "",
            }
        yield {**_common(one), **values}


def _common(one: Listed) -> dict[str, str]:
    """What is said of the verdict, whichever value it is about."""
    said = one.said
    return {
        "observed": said.observed.isoformat(),
        "received": said.received.isoformat(),
        "study_instance_uid": said.study_instance_uid,
        "job": said.job_id,
        "pipeline": one.pipeline,
        "version": one.version,
        "tracking_id": said.tracking_id,
        "tracking_uid": said.tracking_uid,
        "finding": coded(said.finding),
        "site": coded(said.site),
        "answer": said.answer,
        "reason": coded(said.reason),
        "comment": said.comment,
        "observer": said.observer,
        "device": said.device,
        "sender": said.sender,
        "kind": said.kind,
        "source": said.source_uid,
        "superseded": "yes" if one.superseded else "no",
    }


def _harmless(text: str) -> str:
    """A cell that no spreadsheet takes for a formula; numbers stay numbers."""
    try:
        float(text)
    except ValueError:
        return f"'{text}" if text[:1] in FORMULA and text else text
    return text


def _plain(value: float | Code | None) -> str:
    return coded(value) if isinstance(value, Code) or value is None else repr(value)
