"""`condyle evaluate knee_oa_risk`: measure a model on a site's records, or beside its rivals on simulated people.

With `--data` it is measured on people of these records, and a page says what was found. Without, the shipped model and
its rivals are measured on a later part of the simulated register, and the model card is written from that; the exit
code is 1 when a bar is missed.
"""

from __future__ import annotations

import argparse
import hashlib
import sys
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle_configs import UnusableBundle
from pipelines.knee_oa_risk import BUNDLE
from pipelines.knee_oa_risk.evaluation.designs import design_rows, leak_rows
from pipelines.knee_oa_risk.evaluation.foreign import answers
from pipelines.knee_oa_risk.evaluation.own_records import evaluate_records
from pipelines.knee_oa_risk.evaluation.parts import MeasurementCache, Part, lone_risk
from pipelines.knee_oa_risk.evaluation.report import (
    MODEL,
    Report,
    bars_section,
    decision_section,
    designs_section,
    head_section,
    intervals_section,
    leaks_section,
    limits_section,
    performance_section,
    records_section,
    reliability_section,
    speed_section,
    subgroups_section,
)
from pipelines.knee_oa_risk.model import Ensemble, RiskCalibration
from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import FIRST_TEST_YEAR, simulate
from pipelines.knee_oa_risk.training.baselines import BASELINES, baseline_risks
from pipelines.knee_oa_risk.training.fit import EPOCHS, fit
from pipelines.knee_oa_risk.training.register import ANY_LAYOUT, LAYOUTS
from pipelines.knee_oa_risk.training.train import FEWEST_PERSONS, PERSONS, SEED
from pipelines.knee_oa_risk.vocabulary import matrix_codes
from pipelines.lab.arguments import count, existing_file, existing_path, output_file, output_folder
from pipelines.lab.options import add_bundle, add_data, add_report, add_threads

Floats = NDArray[np.float64]
CARD_FILE = Path(__file__).parents[1] / "README.md"
TEST_SEED = 987_654  # another register than the one trained on


def evaluate(
    bundle: Path,
    persons: int,
    train_persons: int,
    epochs: int,
    designs: int,
    kept_in: Path | None,
    say: Callable[[str], None],
    records: Sequence[Path] = (),
) -> Report:
    """Measure everything.

    Parameters
    ----------
    persons, designs
        Sizes of the simulated registers that the later part is cut from, and that the designs are compared on.
    train_persons
        Size of the register that the rivals are trained on.
    kept_in
        Where the rivals' measurements are kept for the next time; None: nowhere.
    records
        Folders of records that others made, to see what the pipeline says of them.
    """
    ensemble = Ensemble.load(bundle)
    register = simulate(train_persons, SEED)
    early = Part.of(register.take(register.index_year < FIRST_TEST_YEAR - 1))
    later = simulate(persons, TEST_SEED)
    test = Part.of(later.take(later.index_year >= FIRST_TEST_YEAR))
    say(f"{len(test.people)} people in the later part, {len(early.people)} in the early part")
    codes = hashlib.sha256("|".join(matrix_codes(with_leaks=True)).encode()).hexdigest()[:8]
    kept = MeasurementCache(kept_in, f"{persons}|{train_persons}|{epochs}|{designs}|{SEED}|{TEST_SEED}|{codes}")
    risks = _rivals(kept, early, test, epochs, say)
    leaks = kept.get("leaks", lambda: leak_rows(register, later, epochs, say))
    compared = kept.get("designs", lambda: design_rows(designs, epochs, say))

    members = ensemble.members_risk(test.batch)
    risks["network, 1 member"] = members[0]
    risks[MODEL] = ensemble.centre(members)[0]
    risks["Bayes-optimal"] = bayes_risk(test.people)
    report = Report()
    head_section(report, ensemble, early, test, bundle)
    performance_section(report, risks, test)
    report.say(
        f"The rivals were trained on the same {len(early.people)} people, the networks without one branch for {epochs} "
        "epochs, one of each.",
        "",
    )
    bars_section(report, risks, test)
    reliability_section(report, risks[MODEL], test)
    decision_section(report, risks, test)
    subgroups_section(report, risks, test)
    intervals_section(report, ensemble, test)
    leaks_section(report, leaks)
    designs_section(report, compared)
    if records:
        records_section(report, answers(records))
    speed_section(report, ensemble, test)
    limits_section(report)
    return report


def _rivals(
    kept: MeasurementCache, early: Part, test: Part, epochs: int, say: Callable[[str], None]
) -> dict[str, Floats]:
    def ablation(record: bool, static: bool) -> list[list[float]]:
        network = fit(early.batch, early.people, SEED + 1, epochs, record, static)
        risk: list[list[float]] = lone_risk(network, test.batch).tolist()
        return risk

    def baseline(name: str) -> list[list[float]]:
        risk: list[list[float]] = baseline_risks(name, early.pair, test.pair).tolist()
        return risk

    measured: dict[str, Callable[[], Any]] = {name: partial(baseline, name) for name in BASELINES}
    measured["network without the CNN"] = partial(ablation, record=False, static=True)
    measured["network without the ANN"] = partial(ablation, record=True, static=False)
    risks = {}
    for name, measure in measured.items():
        say(name)
        risks[name] = np.array(kept.get(name, measure))
    return risks


def main(arguments: list[str]) -> int:
    """Measure and write page or card; returns 1 when a bar is missed or the records cannot be used."""
    parser = argparse.ArgumentParser(prog="condyle evaluate knee_oa_risk", description=__doc__)
    add_bundle(parser)
    add_data(parser, "records to measure on", LAYOUTS, default=ANY_LAYOUT, files=True)
    add_report(parser)
    parser.add_argument(
        "--recalibration", type=existing_file, metavar="JSON", help="of the site, where --data is measured on"
    )
    parser.add_argument(
        "--persons", type=count, default=100_000, help="people in the register that the later part is from"
    )
    parser.add_argument(
        "--train-persons",
        type=count,
        default=PERSONS,
        help="people in the register whose early part the rivals are trained on",
    )
    parser.add_argument("--epochs", type=count, default=EPOCHS, help="passes over the people, for each rival network")
    parser.add_argument("--designs", type=count, default=60_000, help="people for the comparison of study designs")
    add_threads(parser)
    parser.add_argument(
        "--keep", type=output_folder, metavar="FOLDER", help="store the rivals' measurements for the next run"
    )
    parser.add_argument(
        "--foreign",
        type=existing_path,
        nargs="+",
        metavar="FOLDER",
        default=(),
        help="also list in the card what is answered to these records, which nobody's outcome is known of",
    )
    parser.add_argument("--card", type=output_file, default=CARD_FILE, help="file to write the model card to")
    given = parser.parse_args(arguments)
    torch.set_num_threads(given.threads)

    def say(text: str) -> None:
        sys.stderr.write(text + "\n")

    bundle = given.bundle or BUNDLE
    if given.data:
        if given.report is None:
            parser.error("--data needs --report FOLDER, for the page")
        return _on_records(given, bundle, say)
    if min(given.persons, given.train_persons, given.designs) < FEWEST_PERSONS:
        parser.error(f"--persons, --train-persons and --designs should be {FEWEST_PERSONS} or more")
    sizes = (given.persons, given.train_persons, given.epochs, given.designs)
    try:
        report = evaluate(bundle, *sizes, given.keep, say, given.foreign)
    except (OSError, UnsuitableInput, UnusableBundle) as error:
        say(str(error))
        return 1
    given.card.write_text("\n".join(report.lines) + "\n", encoding="utf-8")
    for what, value, met in report.bars:
        say(f"{'met ' if met else 'MISSED'} {what}: {value}")
    return 0 if all(met for _, _, met in report.bars) else 1


def _on_records(given: argparse.Namespace, bundle: Path, say: Callable[[str], None]) -> int:
    """Measure on a site's records and write the page; 1 where they, or the bundle, cannot be used."""
    try:
        site = None if given.recalibration is None else RiskCalibration.read(given.recalibration)
    except ValueError as error:
        say(str(error))
        return 1
    try:
        evaluate_records(given.data, given.layout, bundle, given.report, say, site)
    except (OSError, UnsuitableInput, UnusableBundle) as error:
        say(str(error))
        return 1
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
