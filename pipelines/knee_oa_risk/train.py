"""`condyle train knee_oa_risk`: train the ensemble on simulated people; or recalibrate it to a site."""

from __future__ import annotations

import argparse
import csv
import sys
import time
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from pipelines.knee_oa_risk.matrix import STATIC_NAMES, Batch, from_population
from pipelines.knee_oa_risk.measures import calibration_fit, censoring_weights
from pipelines.knee_oa_risk.model import BUNDLE, Calibration, Card, Ensemble, cells, expit, logit
from pipelines.knee_oa_risk.network import CAUSES, YEARS, RiskNetwork, negative_log_likelihood
from pipelines.knee_oa_risk.simulate import FIRST_TEST_YEAR, HORIZONS, Population, bayes_risk, simulate
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
LINEAR_SHARE = 0.5  # of the linear part in the average with the deep one


def follow_up(population: Population) -> tuple[Tensor, Tensor]:
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
    population: Population,
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
    steps = epochs * (len(batch) // BATCH)
    deep = [parameter for parameter in network.parameters() if parameter.requires_grad]
    optimiser = torch.optim.AdamW(deep, lr=LEARNING_RATE, weight_decay=WEIGHT_DECAY)
    schedule = torch.optim.lr_scheduler.OneCycleLR(optimiser, LEARNING_RATE, total_steps=max(steps, 1), pct_start=0.2)
    network.train()
    for epoch in range(epochs):
        order = rng.permutation(len(batch))
        total, began = 0.0, time.monotonic()
        for first in range(0, len(batch) - BATCH + 1, BATCH):
            persons = np.sort(order[first : first + BATCH])
            chosen = torch.from_numpy(persons)
            log_hazards = network(cells(batch, persons), values[chosen])
            loss = negative_log_likelihood(log_hazards, exposure[chosen], event[chosen])
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            torch.nn.utils.clip_grad_norm_(deep, 1.0)
            optimiser.step()
            schedule.step()
            total += loss.item()
        if say:
            mean = total / max(len(batch) // BATCH, 1)
            sys.stderr.write(f"seed {seed} epoch {epoch + 1}: {mean:.4f} ({time.monotonic() - began:.0f} s)\n")
    network.eval()
    fit_linear(network, batch, exposure, event)
    return network


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
    card = Card(
        codes=batch.rows,
        values=len(STATIC_NAMES),
        members=members,
        seed=seed,
        persons=persons,
        vocabulary=version(),
        calibration=Calibration(),
        interval_scale=(1.0,) * len(HORIZONS),
        interval_floor=INTERVAL_FLOOR,
    )
    return calibrated(Ensemble(networks, card), early, middle)


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


def peer_table(population: Population, risk: NDArray[np.float64]) -> list[dict[str, object]]:
    """Quartiles of the risk of people of one sex and five years of age."""
    rows: list[dict[str, object]] = []
    for sex, female in (("F", True), ("M", False)):
        for youngest in range(30, 90, 5):
            mine = (population.female == female) & (population.age >= youngest) & (population.age < youngest + 5)
            if mine.sum() >= 30:
                quartiles = np.quantile(risk[mine], [0.1, 0.25, 0.5, 0.75, 0.9], axis=0).T.round(5).tolist()
                rows.append({"sex": sex, "youngest": youngest, "persons": int(mine.sum()), "quantiles": quartiles})
    return rows


def recalibrate(table: Path, output: Path, source: str) -> Calibration:
    """A site's own calibration from a csv with columns risk_1y, risk_3y, risk_5y, time_years, event.

    `event` is 1 for a diagnosis of knee osteoarthritis, 2 for death, 0 for the end of follow-up, at `time_years`
    after the risk was given. The risks are those that the reports gave before any recalibration.
    """
    with table.open(encoding="utf-8", newline="") as stream:
        rows = list(csv.DictReader(stream))
    risk = np.array([[float(row[f"risk_{horizon}y"]) for horizon in HORIZONS] for row in rows])
    time_ = np.array([float(row["time_years"]) for row in rows])
    status = np.array([int(row["event"]) for row in rows])
    cases = [int(((status == 1) & (time_ <= horizon)).sum()) for horizon in HORIZONS]
    if min(cases) < 20:
        raise ValueError(f"{table.name}: needs at least 20 diagnoses by each horizon, has {cases}")
    calibration = fit_calibration(risk, time_, status, source)
    calibration.write(output)
    return calibration


def main(arguments: list[str]) -> int:
    """Train, or with --recalibrate fit a site's calibration; returns the exit code."""
    parser = argparse.ArgumentParser(prog="condyle train knee_oa_risk", description=__doc__)
    parser.add_argument("--persons", type=int, default=PERSONS, help="simulated people")
    parser.add_argument("--members", type=int, default=MEMBERS, help="networks of the ensemble")
    parser.add_argument("--epochs", type=int, default=EPOCHS)
    parser.add_argument("--seed", type=int, default=SEED)
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--bundle", type=Path, default=BUNDLE, help="folder to write weights and card into")
    parser.add_argument("--recalibrate", type=Path, metavar="CSV", help="outcomes of a site: fit only its calibration")
    parser.add_argument("--output", type=Path, default=Path("recalibration.json"), help="where --recalibrate writes")
    given = parser.parse_args(arguments)
    if given.recalibrate:
        fitted = recalibrate(given.recalibrate, given.output, given.recalibrate.name)
        sys.stderr.write(f"intercept {fitted.intercept}, slope {fitted.slope}, in {given.output}\n")
        return 0
    torch.set_num_threads(given.threads)
    began = time.monotonic()
    ensemble = train(given.persons, given.members, given.epochs, given.seed, say=True)
    ensemble.save(given.bundle)
    sys.stderr.write(f"trained in {(time.monotonic() - began) / 60:.1f} min, bundle in {given.bundle}\n")
    return 0


if __name__ == "__main__":
    raise SystemExit(main(sys.argv[1:]))
