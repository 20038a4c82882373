"""`condyle train knee_oa_risk`: train the ensemble on simulated people; or recalibrate it to a site."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from dicom_sr.errors import UnsuitableInput
from pipelines.knee_oa_risk import BUNDLE
from pipelines.knee_oa_risk.matrix import STATIC_NAMES, Batch, Followed, from_population
from pipelines.knee_oa_risk.model import Calibration, Card, Ensemble, cells, expit, logit
from pipelines.knee_oa_risk.network import CAUSES, YEARS, RiskNetwork, negative_log_likelihood
from pipelines.knee_oa_risk.simulation.population import FIRST_TEST_YEAR, HORIZONS, Population, bayes_risk, simulate
from pipelines.knee_oa_risk.training.baselines import baseline_risks
from pipelines.knee_oa_risk.training.measures import auroc, brier, calibration_fit, censoring_weights
from pipelines.knee_oa_risk.training.register import Register, gather, read_folders, too_few
from pipelines.knee_oa_risk.vocabulary import version

SEED = 20211102
PERSONS = 130_000
MEMBERS = 5
EPOCHS = 8
BATCH = 512
LEARNING_RATE = 3e-3
WEIGHT_DECAY = 1e-3
INTERVAL_FLOOR = 0.1  # logits
RIDGE = 4.0  # inverse variance of a coefficient of the linear part, before any data
FEWEST_PEERS = 30
NORMAL_90 = 1.645  # standard deviations on either side that hold 90 % of a normal distribution
DIAGNOSED_TO_TRAIN = 100  # people; fewer events than that per handful of covariates overfit even a linear model
CASES_TO_CALIBRATE = 20  # landmarks, at each horizon
LINEAR_SHARE = 0.5  # of the linear part in the average with the deep one


def follow_up(population: Followed) -> tuple[Tensor, Tensor]:
    """Exposure (N, YEARS) and events (N, YEARS, CAUSES) of each person, up to `YEARS`."""
    time_ = torch.from_numpy(population.time)[:, None]
    years = torch.arange(YEARS)[None, :]
    exposure = (time_ - years).clamp(0.0, 1.0).float()
    status = torch.from_numpy(population.status)
    event = torch.zeros(len(population), YEARS, CAUSES)
    inside = (status > 0) & (time_[:, 0] < YEARS)
    who = torch.nonzero(inside)[:, 0]
    event[who, time_[who, 0].long(), status[who] - 1] = 1.0
    return exposure, event


def fit(
    batch: Batch,
    population: Followed,
    seed: int,
    epochs: int = EPOCHS,
    record: bool = True,
    static: bool = True,
    say: bool = False,
) -> RiskNetwork:
    """One network trained on all of `batch`; the one-cycle schedule ends the training, no data is held back for it."""
    torch.manual_seed(seed)
    rng = np.random.default_rng(seed)
    network = RiskNetwork(batch.rows, batch.static.shape[1], record, static)
    silence_unseen(network, batch)
    exposure, event = follow_up(population)
    values = torch.from_numpy(batch.static)
    size = min(BATCH, max(len(batch) // 8, 8))  # few people make small batches
    steps = epochs * (len(batch) // size)
    deep = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(deep, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=max(steps, 1), pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        order = rng.permutation(len(batch))
        total, began = 0.0, time.monotonic()
        for first in range(0, len(batch) - size + 1, size):
            persons = np.sort(order[first : first + size])
            chosen = torch.from_numpy(persons)
            with _deterministic():
                log_hazards = network(cells(batch, persons), values[chosen])
                loss = negative_log_likelihood(log_hazards, exposure[chosen], event[chosen])
                optimiser.zero_grad()
                loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(deep, 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        if say:
            mean = total / max(len(batch) // size, 1)
            sys.stderr.write(f"seed {seed} epoch {epoch + 1}: {mean:.4f} ({time.monotonic() - began:.0f} s)\n")
    network.eval()
    fit_linear(network, batch, exposure, event)
    return network


@contextmanager
def _deterministic() -> Iterator[None]:
    """Several threads add the gradients of one weight up in an order that changes, unless torch is told not to."""
    before = torch.are_deterministic_algorithms_enabled()
    torch.use_deterministic_algorithms(True)
    try:
        yield
    finally:
        torch.use_deterministic_algorithms(before)


def fit_linear(network: RiskNetwork, batch: Batch, exposure: Tensor, event: Tensor) -> None:
    """Fit the linear part on everybody at once, with a ridge, and give it its share."""
    chunks = np.array_split(np.arange(len(batch)), len(batch) // 4096 + 1)
    with torch.no_grad():
        parts = [network.plain(cells(batch, some), torch.from_numpy(batch.static[some])) for some in chunks]
    plain = torch.cat(parts)  # (N, F)
    fitted = [network.wide, network.baseline]
    with torch.no_grad():
        rate = event.sum(dim=0) / exposure.sum(dim=0)[:, None]  # (YEARS, CAUSES): where the fit begins
        network.baseline.copy_(rate.clamp_min(1e-6).log())
    for parameter in fitted:
        parameter.requires_grad_(True)
    optimiser = torch.optim.LBFGS(fitted, max_iter=60, line_search_fn="strong_wolfe")

    def loss() -> Tensor:
        optimiser.zero_grad()
        ridge = RIDGE / (2 * len(batch)) * network.wide.square().sum()
        value = negative_log_likelihood(network.linear(plain), exposure, event) + ridge
        value.backward()  # type: ignore[no-untyped-call]
        return value

    optimiser.step(loss)  # type: ignore[no-untyped-call]
    for parameter in fitted:
        parameter.requires_grad_(False)
    network.share.fill_(LINEAR_SHARE)


def silence_unseen(network: RiskNetwork, batch: Batch) -> None:
    """Codes that never occur in the training data get no weight, rather than the chance one they began with."""
    if network.record is not None:
        unseen = torch.ones(batch.rows, dtype=torch.bool)
        unseen[torch.from_numpy(np.unique(batch.row))] = False
        with torch.no_grad():
            network.record.stem.weight[:, unseen] = 0.0
            network.record.presence.weight[:, unseen] = 0.0


def train(persons: int, members: int, epochs: int, seed: int, say: bool = False) -> Ensemble:
    """The ensemble, calibrated on the year before the later part begins."""
    population = simulate(persons, seed)
    early = population.take(population.index_year < FIRST_TEST_YEAR - 1)
    middle = population.take((population.index_year >= FIRST_TEST_YEAR - 1) & (population.index_year < FIRST_TEST_YEAR))
    batch = from_population(early)
    networks = [fit(batch, early, seed + 1 + member, epochs, say=say) for member in range(members)]
    return calibrated(Ensemble(networks, _card(batch.rows, members, seed, persons)), early, middle)


def _card(codes: int, members: int, seed: int, persons: int) -> Card:
    """The card of networks that are not calibrated yet."""
    return Card(
        codes=codes,
        values=len(STATIC_NAMES),
        members=members,
        seed=seed,
        persons=persons,
        vocabulary=version(),
        calibration=Calibration(),
        interval_scale=(1.0,) * len(HORIZONS),
        interval_floor=INTERVAL_FLOOR,
    )


def train_on_records(
    register: Register, parts: tuple[Register, Register, Register], members: int, epochs: int, seed: int, say: bool
) -> Ensemble:
    """The ensemble for a site, from its own records.

    Each network learns from people drawn with replacement, so that their spread says how much the risks hang on who was
    there. Nobody's true risk is known, so the intervals are that spread and are not checked against anything.

    Parameters
    ----------
    parts
        Of the register: to train on, to calibrate on, held out for the measures in the card.
    """
    training, calibration, held_out = parts
    rng = np.random.default_rng(seed)
    networks = []
    for member in range(members):
        drawn = training.resampled(rng)
        networks.append(fit(drawn.batch, drawn, seed + 1 + member, epochs, say=say))
    card = replace(
        _card(training.batch.rows, members, seed, training.people),
        trained_on=f"records of {register.people} people, {register.diagnosed} of them diagnosed, of one site",
        people="",
        limit="The model was trained on records of one site; nobody has validated it.",
        intervals="spread of networks that learned from people drawn with replacement; not checked",
        interval_scale=(NORMAL_90,) * len(HORIZONS),
    )
    ensemble = Ensemble(networks, card)
    raw = expit(logit(ensemble.members_risk(calibration.batch)).mean(axis=0))
    fitted = fit_calibration(raw, calibration.time, calibration.status, "people of the same site who were held out")
    ensemble.card = replace(card, calibration=fitted)
    peers = peer_table(training, ensemble.centre(ensemble.members_risk(training.batch))[0])
    ensemble.card = replace(ensemble.card, peers=peers, measured=_measured(ensemble, training, held_out))
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
    """Fit calibration and conformal interval factors on `middle`, and describe peers from `early`."""
    members = ensemble.members_risk(from_population(middle))  # (M, N, H)
    raw = expit(logit(members).mean(axis=0))
    calibration = fit_calibration(raw, middle.time, middle.status, "the last simulated year before the hold-out")
    ensemble.card = replace(ensemble.card, calibration=calibration)
    value, spread = ensemble.centre(members)
    off = np.abs(logit(value) - logit(bayes_risk(middle))) / np.sqrt(spread**2 + INTERVAL_FLOOR**2)
    n = len(middle)
    # split conformal: the ceil((n + 1) * level) / n quantile of the normalised error
    scale = np.quantile(off, min(np.ceil((n + 1) * 0.9) / n, 1.0), axis=0)
    some = early.take(np.arange(len(early)) < 20_000)
    peers = peer_table(some, ensemble.centre(ensemble.members_risk(from_population(some)))[0])
    ensemble.card = replace(ensemble.card, interval_scale=tuple(float(x) for x in scale), peers=peers)
    return ensemble


def fit_calibration(
    risk: NDArray[np.float64], time_: NDArray[np.float64], status: NDArray[np.int64], source: str
) -> Calibration:
    """Intercept and slope per horizon by weighted logistic regression on the logit of the risk."""
    fits = []
    for number, horizon in enumerate(HORIZONS):
        weight, case = censoring_weights(time_, status, horizon)
        fits.append(calibration_fit(risk[:, number], case, weight))
    return Calibration(tuple(a for a, _ in fits), tuple(b for _, b in fits), source)


def peer_table(people: Followed, risk: NDArray[np.float64]) -> list[dict[str, object]]:
    """Quantiles of the risk of people of one sex and five years of age, or the narrowest wider band with enough."""
    rows: list[dict[str, object]] = []
    for sex, female in (("F", 1.0), ("M", 0.0)):
        for youngest in range(30, 90, 5):
            words, ages, mine = _peers(people, female, youngest)
            quantiles = np.quantile(risk[mine], [0.1, 0.25, 0.5, 0.75, 0.9], axis=0).T.round(5).tolist()
            rows.append(
                {
                    "sex": sex,
                    "youngest": youngest,
                    "words": words,
                    "ages": ages,
                    "persons": int(mine.sum()),
                    "quantiles": quantiles,
                }
            )
    return rows


def _peers(people: Followed, female: float, youngest: int) -> tuple[str, tuple[int, int], NDArray[np.bool_]]:
    """In words, ages and as a mask: people of the sex around the ages, of both sexes where there are too few."""
    for words, sex in (({1.0: "women", 0.0: "men"}[female], people.female == female), ("people", people.age > 0)):
        for wider in range(0, 65, 5):
            first, last = max(youngest - wider, 30), min(youngest + 4 + wider, 90)
            mine = sex & (people.age >= first) & (people.age < last + 1)
            if mine.sum() >= FEWEST_PEERS:
                return words, (first, last), mine
    raise ValueError(f"needs at least {FEWEST_PEERS} people of 30 to 90 years")


def recalibrate(table: Path, output: Path, source: str) -> Calibration:
    """A site's own calibration from a csv with columns risk_1y, risk_3y, risk_5y, time_years, event.

    `event` is 1 for a diagnosis of knee osteoarthritis, 2 for death, 0 for the end of follow-up, at `time_years`
    after the risk was given. The risks are those that the reports gave before any recalibration.

    Raises
    ------
    ValueError
        If a row is not that, or there are too few diagnoses.
    """
    with table.open(encoding="utf-8-sig", newline="") as stream:
        outcomes = [_outcome(row, f"{table.name}: row {n}") for n, row in enumerate(csv.DictReader(stream), 2)]
    risk = np.array([risks for risks, _, _ in outcomes]).reshape(len(outcomes), len(HORIZONS))
    time_ = np.array([years for _, years, _ in outcomes])
    status = np.array([event for _, _, event in outcomes], dtype=np.int64)
    cases = [int(((status == 1) & (time_ <= horizon)).sum()) for horizon in HORIZONS]
    if min(cases) < 20:
        raise ValueError(f"{table.name}: needs at least 20 diagnoses by each horizon, has {cases}")
    calibration = fit_calibration(risk, time_, status, source)
    calibration.write(output)
    return calibration


def _outcome(row: dict[str, str | None], where: str) -> tuple[list[float], float, int]:
    """Risks, years and event of one row; what is wrong with it is told by row and column."""
    told: dict[str, float] = {}
    for column in (*(f"risk_{horizon}y" for horizon in HORIZONS), "time_years", "event"):
        try:
            told[column] = float(row[column] or "")
        except KeyError:
            raise ValueError(f"{where}: no column {column}") from None
        except ValueError:
            raise ValueError(f"{where}: {column} is no number") from None
    risks = [told[f"risk_{horizon}y"] for horizon in HORIZONS]
    if not all(0.0 <= value <= 1.0 for value in risks):
        raise ValueError(f"{where}: a risk should be a share from 0 to 1")
    if not 0.0 <= told["time_years"] < 150.0:
        raise ValueError(f"{where}: time_years should be years since the risk was given")
    if told["event"] not in (0.0, 1.0, 2.0):
        raise ValueError(f"{where}: event should be 0, 1 or 2")
    return risks, told["time_years"], int(told["event"])


def main(arguments: list[str]) -> int:
    """Train, or with --recalibrate fit a site's calibration; returns the exit code."""
    parser = argparse.ArgumentParser(prog="condyle train knee_oa_risk", description=__doc__)
    parser.add_argument("--persons", type=int, default=PERSONS, help="simulated people")
    parser.add_argument("--members", type=int, default=MEMBERS, help="networks of the ensemble")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="folder to write weights and card into")
    parser.add_argument(
        "--records",
        type=Path,
        nargs="+",
        metavar="FOLDER",
        help="train on records instead: OMOP CDM tables (folder or zip), or FHIR R4 bundles or bulk exports",
    )
    parser.add_argument("--recalibrate", type=Path, metavar="CSV", help="outcomes of a site: fit only its calibration")
    parser.add_argument("--output", type=Path, default=Path("recalibration.json"), help="where --recalibrate writes")
    given = parser.parse_args(arguments)
    if given.recalibrate:
        try:
            fitted = recalibrate(given.recalibrate, given.output, given.recalibrate.name)
        except (OSError, ValueError) as error:
            sys.stderr.write(f"not recalibrated: {error}\n")
            return 1
        sys.stderr.write(f"intercept {fitted.intercept}, slope {fitted.slope}, in {given.output}\n")
        return 0
    torch.set_num_threads(given.threads)
    began = time.monotonic()
    if given.records:
        if given.bundle == BUNDLE:
            parser.error("--records needs a --bundle of its own: the shipped one is trained on simulated people")
        return _from_records(given)
    ensemble = train(given.persons, given.members, given.epochs, given.seed, say=True)
    ensemble.save(given.bundle)
    sys.stderr.write(f"trained in {(time.monotonic() - began) / 60:.1f} min, bundle in {given.bundle}\n")
    return 0


def _from_records(given: argparse.Namespace) -> int:
    """Train on a site's records, or say why not; the exit code."""
    try:
        gathered = gather(read_folders(given.records))
    except (OSError, UnsuitableInput) as error:
        sys.stderr.write(f"{error}\n")
        return 1
    for reason, people in gathered.left_out.most_common():
        sys.stderr.write(f"{people} of {gathered.people} people left out: {reason}\n")
    register = gathered.register
    if register is None:
        sys.stderr.write("not trained: nobody in these records can be used\n")
        return 1
    marks = ", ".join(f"{n} by {years} y" for years, n in zip(HORIZONS, register.cases(), strict=True))
    sys.stderr.write(f"{register.people} people, {register.diagnosed} diagnosed; {len(register)} landmarks, ")
    sys.stderr.write(f"diagnoses after them {marks}\n")
    parts = register.parts(given.seed)
    if (why := too_few(register, parts, DIAGNOSED_TO_TRAIN, CASES_TO_CALIBRATE)) is not None:
        sys.stderr.write(f"not trained: {why}\n")
        return 1
    ensemble = train_on_records(register, parts, given.members, given.epochs, given.seed, say=True)
    ensemble.save(given.bundle)
    for row in ensemble.card.measured:
        sys.stderr.write("held out: " + ", ".join(f"{name} {value}" for name, value in row.items()) + "\n")
    sys.stderr.write(f"bundle in {given.bundle}; a route takes it by settings: {{bundle: {given.bundle}}}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
