"""`condyle train knee_oa_risk`: train the ensemble on simulated people or on records, or recalibrate it to a site."""

from __future__ import annotations

import argparse
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch

from dicom_sr.errors import UnsuitableInput
from pipelines.knee_oa_risk.matrix import STATIC_NAMES
from pipelines.knee_oa_risk.model import Ensemble, EnsembleDescription, RiskCalibration
from pipelines.knee_oa_risk.odds import expit, logit
from pipelines.knee_oa_risk.simulation.batch import from_population
from pipelines.knee_oa_risk.simulation.bayes import bayes_risk
from pipelines.knee_oa_risk.simulation.population import FIRST_TEST_YEAR, Population, simulate
from pipelines.knee_oa_risk.training.baselines import baseline_risks
from pipelines.knee_oa_risk.training.fit import EPOCHS, fit
from pipelines.knee_oa_risk.training.measures import auroc, brier, censoring_weights
from pipelines.knee_oa_risk.training.peers import peer_table
from pipelines.knee_oa_risk.training.recalibrate import CASES_TO_CALIBRATE, fit_calibration, recalibrate
from pipelines.knee_oa_risk.training.register import ANY_LAYOUT, LAYOUTS, Register, gather, read_folders, too_few
from pipelines.knee_oa_risk.vocabulary import version
from pipelines.knee_oa_risk.window import HORIZONS
from pipelines.lab.arguments import count, existing_file
from pipelines.lab.checkpoint import OtherTraining
from pipelines.lab.options import add_data, add_output, add_seed, add_threads, readable
from pipelines.lab.training_data import digest_of_folders

SEED = 20211102
PERSONS = 130_000
FEWEST_PERSONS = 1000
MEMBERS = 5
INTERVAL_FLOOR = 0.1  # logits
NORMAL_90 = 1.645  # standard deviations on either side that hold 90 % of a normal distribution
RECALIBRATION = "recalibration.json"
DIAGNOSED_TO_TRAIN = 100  # people; fewer events than that per handful of covariates overfit even a linear model


def train(persons: int, members: int, epochs: int, seed: int, folder: Path | None = None) -> Ensemble:
    """The ensemble, calibrated on the year before the later part begins.

    Parameters
    ----------
    persons
        Simulated people.
    members, epochs
        Networks of the ensemble, and passes of each over the people.
    seed
        Of people and networks.
    folder
        For checkpoints and logs.
    """
    population = simulate(persons, seed)
    early = population.take(population.index_year < FIRST_TEST_YEAR - 1)
    middle = population.take((population.index_year >= FIRST_TEST_YEAR - 1) & (population.index_year < FIRST_TEST_YEAR))
    batch = from_population(early)
    made_of = f"{persons} simulated people, seed {seed}"
    networks = [
        fit(batch, early, seed + 1 + member, epochs, folder=folder, data_digest=made_of) for member in range(members)
    ]
    return calibrated(Ensemble(networks, _card(batch.rows, members, seed, persons)), early, middle)


def _card(codes: int, members: int, seed: int, persons: int) -> EnsembleDescription:
    """The card of networks that are not calibrated yet."""
    return EnsembleDescription(
        codes=codes,
        values=len(STATIC_NAMES),
        members=members,
        seed=seed,
        persons=persons,
        vocabulary=version(),
        calibration=RiskCalibration(),
        interval_scale=(1.0,) * len(HORIZONS),
        interval_floor=INTERVAL_FLOOR,
    )


def train_on_records(
    register: Register,
    parts: tuple[Register, Register, Register],
    members: int,
    epochs: int,
    seed: int,
    data_digest: str,
    folder: Path | None = None,
) -> Ensemble:
    """The ensemble for a site, from its own records.

    Each network learns from people drawn with replacement, so that their spread says how much the risks hang on who was
    there. Nobody's true risk is known, so the intervals are that spread and are not checked against anything.

    Parameters
    ----------
    parts
        Of the register: to train on, to calibrate on, held out for the measures in the card.
    members, epochs
        Networks of the ensemble, and passes of each over the people.
    seed
        Of the networks, and of who is in which part.
    data_digest
        Of the files that the register was read from.
    folder
        For checkpoints and logs.
    """
    training, calibration, held_out = parts
    rng = np.random.default_rng(seed)
    networks = []
    for member in range(members):
        drawn = training.resampled(rng)
        networks.append(fit(drawn.batch, drawn, seed + 1 + member, epochs, folder=folder, data_digest=data_digest))
    card = replace(
        _card(training.batch.rows, members, seed, training.people),
        trained_on=f"records of {register.people} people, {register.diagnosed} of them diagnosed, of one site",
        people="",
        limit="The model was trained on records of one site; nobody has validated it.",
        intervals="spread of networks that learned from people drawn with replacement; not checked",
        interval_scale=(NORMAL_90,) * len(HORIZONS),
        data_sha256=data_digest,
    )
    ensemble = Ensemble(networks, card)
    raw = expit(logit(ensemble.members_risk(calibration.batch)).mean(axis=0))
    fitted = fit_calibration(
        raw, calibration.time, calibration.status, "people of the same site whom no network learned from"
    )
    ensemble.description = replace(card, calibration=fitted)
    peers = peer_table(training, ensemble.centre(ensemble.members_risk(training.batch))[0])
    ensemble.description = replace(ensemble.description, peers=peers, measured=_measured(ensemble, training, held_out))
    return ensemble


def _measured(ensemble: Ensemble, training: Register, held_out: Register) -> list[dict[str, object]]:
    """Figures of the networks and of age and sex alone on people held out, per horizon."""
    ours = ensemble.risk(held_out.batch).value
    plain = baseline_risks("age + sex", (training.batch, training), (held_out.batch, held_out))
    rows: list[dict[str, object]] = []
    for number, horizon in enumerate(HORIZONS):
        weight, case = censoring_weights(held_out.time, held_out.status, horizon)
        row: dict[str, object] = {"horizon": horizon, "landmarks": int((weight > 0).sum()), "cases": int(case.sum())}
        if case.any() and (~case & (weight > 0)).any():
            for name, risk in (("networks", ours), ("age + sex", plain)):
                row[f"AUROC, {name}"] = round(auroc(risk[:, number], case, weight), 3)
                row[f"Brier, {name}"] = round(brier(risk[:, number], case, weight), 4)
        rows.append(row)
    return rows


def calibrated(ensemble: Ensemble, early: Population, middle: Population) -> Ensemble:
    """Fit calibration and conformal interval factors on `middle`, and describe peers from `early`.

    Parameters
    ----------
    ensemble
        Not calibrated yet; it is changed in place and returned.
    early, middle
        People that it was trained on, and people of the year after.
    """
    members = ensemble.members_risk(from_population(middle))  # (M, N, H)
    raw = expit(logit(members).mean(axis=0))
    calibration = fit_calibration(raw, middle.time, middle.status, "the last simulated year before the hold-out")
    ensemble.description = replace(ensemble.description, calibration=calibration)
    value, spread = ensemble.centre(members)
    off = np.abs(logit(value) - logit(bayes_risk(middle))) / np.sqrt(spread**2 + INTERVAL_FLOOR**2)
    n = len(middle)
    # split conformal: the ceil((n + 1) * level) / n quantile of the normalised error
    scale = np.quantile(off, min(np.ceil((n + 1) * 0.9) / n, 1.0), axis=0)
    some = early.take(np.arange(len(early)) < 20_000)
    peers = peer_table(some, ensemble.centre(ensemble.members_risk(from_population(some)))[0])
    ensemble.description = replace(ensemble.description, interval_scale=tuple(float(x) for x in scale), peers=peers)
    return ensemble


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="condyle train knee_oa_risk", description=__doc__)
    add_output(made)
    add_data(made, "records to train on in place of simulated people", LAYOUTS, default=ANY_LAYOUT, files=True)
    made.add_argument(
        "--recalibrate",
        type=existing_file,
        metavar="CSV",
        help=f"train nothing: fit a calibration of the shipped model to a site's outcomes, {RECALIBRATION} in --output",
    )
    made.add_argument(
        "--persons", type=count, default=PERSONS, help="people in the simulated register whose early part is trained on"
    )
    made.add_argument("--members", type=count, default=MEMBERS, help="networks in the ensemble")
    made.add_argument("--epochs", type=count, default=EPOCHS, help="passes over the people, for each network")
    add_seed(made, SEED)
    add_threads(made)
    return made


def main(arguments: list[str]) -> int:
    """Train, or with --recalibrate fit a site's calibration; 0 on success, 1 if the data will not do."""
    made = parser()
    given = made.parse_args(arguments)
    if given.persons < FEWEST_PERSONS:
        made.error(f"argument --persons: should be {FEWEST_PERSONS} or more, for enough diagnoses to calibrate on")
    if given.recalibrate:
        return _recalibrate(given)
    torch.set_num_threads(given.threads)
    began = time.monotonic()
    try:
        ensemble = (
            _from_records(given)
            if given.data
            else train(given.persons, given.members, given.epochs, given.seed, given.output)
        )
        ensemble.save(given.output)
    except (OSError, OtherTraining, UnsuitableInput) as error:
        _say(f"not trained: {error}")
        return 1
    for checkpoint in given.output.glob("checkpoint-*.pt"):
        checkpoint.unlink()
    readable(given.output)
    for row in ensemble.description.measured:
        _say("held out: " + ", ".join(f"{name} {value}" for name, value in row.items()))
    _say(f"trained in {(time.monotonic() - began) / 60:.1f} min")
    _say(f"a route takes it by settings: {{bundle: {given.output}}}")
    return 0


def _recalibrate(given: argparse.Namespace) -> int:
    try:
        given.output.mkdir(parents=True, exist_ok=True)
        fitted = recalibrate(given.recalibrate, given.output / RECALIBRATION, given.recalibrate.name)
    except (OSError, ValueError) as error:
        _say(f"not recalibrated: {error}")
        return 1
    readable(given.output)
    _say(f"intercept {fitted.intercept}, slope {fitted.slope}")
    _say(f"a route takes it by settings: {{recalibration: {given.output / RECALIBRATION}}}")
    return 0


def _from_records(given: argparse.Namespace) -> Ensemble:
    """Train on a site's records.

    Raises
    ------
    UnsuitableInput
        If they cannot be read, or are too few.
    """
    gathered = gather(read_folders(given.data, given.layout))
    register = gathered.usable()
    for reason, people in gathered.left_out.most_common():
        _say(f"{people} of {gathered.people} people left out: {reason}")
    marks = ", ".join(f"{n} by {years} y" for years, n in zip(HORIZONS, register.cases(), strict=True))
    _say(f"{register.people} people, {register.diagnosed} diagnosed")
    _say(f"{len(register)} landmarks, diagnoses after them {marks}")
    parts = register.parts(given.seed)
    if (why := too_few(register, parts, DIAGNOSED_TO_TRAIN, CASES_TO_CALIBRATE)) is not None:
        raise UnsuitableInput(why)
    return train_on_records(
        register, parts, given.members, given.epochs, given.seed, digest_of_folders(given.data), given.output
    )


def _say(text: str) -> None:
    sys.stderr.write(text + "\n")


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
