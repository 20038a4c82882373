"""`condyle verdicts --report`: how far readers agree with results, as a page with tables and pictures."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from datetime import datetime
from pathlib import Path
from typing import TYPE_CHECKING, TypeAlias

from dicom_sr.assessment import Answer
from dicom_sr.words import capital, counted
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.terminal import console
from node.local.saving import require_free
from node.models.agreement import Interval, Kappa
from node.verdicts.agreement import FEWEST, Agreement, Numbers, Reading, agreement, changed_in, grouped
from node.verdicts.readings import readings

if TYPE_CHECKING:
    from pipelines.lab.plots import Share as PlottedShare
    from pipelines.lab.report_page import Report

Groups: TypeAlias = dict[str, dict[str, list[Reading]]]
"""By what they are grouped by, and by what each group is called."""

ALL = "all"
_BY: Mapping[str, Callable[[Reading], str]] = {
    "version": lambda one: one.version or "not known",
    "device": lambda one: one.device,
    "month": lambda one: one.month,
}
_COUNTS = ("Readings", "Studies", "Accepted", "Modified", "Rejected")
_RESULTS = ("By", "Of", *_COUNTS, "Accepted as they are", "Findings accepted")
_EACH = ("Version", "Device", "Month", "Readings", "Accepted as they are")
_AGREE = ("Mean difference", "Limits of agreement", "Within half a point", "Kappa")
_NUMBERS = ("By", "Of", "Values", "Studies", *_AGREE)
_CODES = ("By", "Of", "Values", "Studies", "The same", "Kappa")


def report(out: Path, config: Path, *, since: datetime | None = None, pipeline: str = "") -> int:
    """Write the report of a node's verdicts, and print what it is about.

    Parameters
    ----------
    out
        The folder to write to; an earlier report in it is replaced.
    config
        The configuration file.
    since, pipeline
        As for the list.
    """
    if not is_free(out, "--report"):
        return USAGE
    configuration, database = opened(config)
    found = readings(database, configuration, pipeline, since)
    if not found:
        console(error=True).print("There is no verdict to report on.")
        return NOT_RIGHT
    page = write_report(out, found)
    for name, of in grouped(found, lambda one: one.pipeline).items():
        console().print(f"{name}: {summary(of)}", markup=False)
    console(error=True).print(f"report: {page}", markup=False)
    return OK


def is_free(out: Path, option: str, names: Sequence[str] = ()) -> bool:
    """Whether a folder can be written to, and none of the names is in it yet; if not, say why."""
    try:
        require_free(out, names)
    except OSError as error:
        console(error=True).print(f"{option}: {out}: cannot be written: {error.strerror or error}", markup=False)
        return False
    return True


def write_report(out: Path, found: Sequence[Reading]) -> Path:
    """Write the page, its pictures and its tables as CSV into a folder.

    Parameters
    ----------
    out
        The folder.
    found
        Of any pipelines.

    Returns
    -------
    Path
        The page.
    """
    from pipelines.lab.report_page import Report

    page = Report(out, "Readers' verdicts on results")
    page.note(
        "What readers accept, modify and reject. Intervals hold 95 %: of shares after Wilson, of all else by bootstrap"
        f" over studies with a fixed seed. Of fewer than {FEWEST} readings or studies no share and no limits are told.",
        "Only results that a reader judged are counted: the others may be better or worse. A reader who corrects what"
        " the node says leans towards it, so that blinded readers would agree less. Of values, those are shown that any"
        " reader changed. Kappa of scores is weighted by squares.",
    )
    for pipeline, of in grouped(found, lambda one: one.pipeline).items():
        _pipeline(page, pipeline, of)
    return page.write()


def _pipeline(report: Report, pipeline: str, readings: Sequence[Reading]) -> None:
    from pipelines.lab import plots

    title = capital(pipeline.replace("_", " "))
    report.heading(title)
    report.note(summary(readings))
    groups = _groups(readings)
    changed = changed_in(readings)
    found = {(by, name): agreement(of, changed) for by, named in groups.items() for name, of in named.items()}
    report.table(_RESULTS, list(_results(found)), f"{pipeline}-results")
    report.picture(
        f"{pipeline}-accepted",
        plots.shares(
            {_by(by): [_share(name, found[by, name]) for name in named] for by, named in groups.items()},
            title=f"{title}: accepted as they are",
            label="share of the readings, with 95 % interval",
        ),
        f"{title}: share of the results that readers accepted, by version, device and month",
    )
    for number, one in enumerate(found[ALL, ALL].numbers):
        report.note(f"{one.name}, reader minus node, in findings that the reader took over:")
        report.table(_NUMBERS, list(_numbers(found, one)), f"{pipeline}-value-{number}")
        if one.limits.jobs >= FEWEST:
            figure = plots.bland_altman(one.readers, one.ours, title=one.name, unit=one.unit, labels=("reader", "node"))
            report.picture(f"{pipeline}-value-{number}", figure, f"{one.name}: reader minus node against their mean")
    for number, name in enumerate(found[ALL, ALL].codes):
        report.note(f"{name}, in findings that the reader took over:")
        report.table(_CODES, list(_codes(found, name)), f"{pipeline}-code-{number}")
    report.note("Every version with every device in every month:")
    report.table(_EACH, list(_each(readings)), f"{pipeline}-each")


def summary(readings: Sequence[Reading]) -> str:
    """How many results were judged, and what became of them, in a sentence."""
    answers = [one.answer for one in readings]
    readers, studies = len({one.reader for one in readings}), len({one.study for one in readings})
    told = {Answer.ACCEPT: "accepted", Answer.MODIFY: "modified", Answer.REJECT: "rejected"}
    counts = ", ".join(f"{answers.count(answer)} {word}" for answer, word in told.items())
    return (
        f"{capital(counted(len(readings), 'reading'))} of {counted(studies, 'study')} by"
        f" {counted(readers, 'reader')}: {counts}."
    )


def _groups(readings: Sequence[Reading]) -> Groups:
    return {ALL: {ALL: list(readings)}, **{by: grouped(readings, of) for by, of in _BY.items()}}


def _share(name: str, of: Agreement) -> PlottedShare:
    from pipelines.lab.plots import Share

    return Share(name, of.share.readings, of.share.accepted, of.share.interval)


# ---- tables
def _results(found: Mapping[tuple[str, str], Agreement]) -> Iterator[tuple[str, ...]]:
    for group, of in found.items():
        share = of.share
        judged = sum(share.findings.values())
        findings = f"{share.findings.get(Answer.ACCEPT, 0)} of {judged}" if judged else ""
        counts = (share.answers.get(answer, 0) for answer in (Answer.ACCEPT, Answer.MODIFY, Answer.REJECT))
        yield (
            *_named(group),
            str(share.readings),
            str(share.studies),
            *map(str, counts),
            _percent(share.accepted, share.interval),
            findings,
        )


def _each(readings: Sequence[Reading]) -> Iterator[tuple[str, ...]]:
    """Every version with every device in every month."""
    for (version, device, month), of in grouped(readings, _by_all).items():
        share = agreement(of, frozenset()).share
        yield version, device, month, str(share.readings), _percent(share.accepted, share.interval)


def _by_all(one: Reading) -> tuple[str, ...]:
    return tuple(of(one) for of in _BY.values())


def _numbers(found: Mapping[tuple[str, str], Agreement], of: Numbers) -> Iterator[tuple[str, ...]]:
    for group, agreed in found.items():
        for one in agreed.numbers:
            if (one.name, one.unit) != (of.name, of.unit):
                continue
            limits, form = one.limits, "+.2f" if one.points else "+.3g"
            ends = None if limits.lower is None or limits.upper is None else (limits.lower, limits.upper)
            yield (
                *_named(group),
                str(limits.values),
                str(limits.jobs),
                f"{limits.bias:{form}} {one.unit}".rstrip() + _interval(limits.bias_interval, form),
                "too few" if ends is None else f"{ends[0]:{form}} to {ends[1]:{form}}",
                _near(one),
                _kappa(one.kappa),
            )


def _near(one: Numbers) -> str:
    return "" if one.near is None else _percent(one.near, one.near_interval)


def _codes(found: Mapping[tuple[str, str], Agreement], name: str) -> Iterator[tuple[str, ...]]:
    for group, agreed in found.items():
        if (one := agreed.codes.get(name)) is not None:
            same = "too few" if one.jobs < FEWEST else f"{one.agreed:.0%}"
            yield *_named(group), str(one.values), str(one.jobs), same, _kappa(one)


def _named(group: tuple[str, str]) -> tuple[str, str]:
    by, name = group
    return _by(by), name


def _by(by: str) -> str:
    return "" if by == ALL else by


def _percent(share: float | None, interval: Interval | None) -> str:
    if share is None:
        return "too few"
    return f"{share:.0%}" + ("" if interval is None else f" ({100 * interval[0]:.0f} to {100 * interval[1]:.0f})")


def _kappa(of: Kappa | None) -> str:
    if of is None or of.kappa is None:
        return ""
    return f"{of.kappa:.2f}{_interval(of.interval, '.2f')}"


def _interval(ends: Interval | None, form: str) -> str:
    return "" if ends is None else f" ({ends[0]:{form}} to {ends[1]:{form}})"
