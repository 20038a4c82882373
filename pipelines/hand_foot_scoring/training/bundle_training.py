"""Makes the parts of a bundle, one after another: shape model, localiser, damage heads, calibration and gate."""

from __future__ import annotations

import csv
import hashlib
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from rich.console import Console

from dicom_sr.words import counted
from pipelines.device import resolved
from pipelines.hand_foot_scoring import BUNDLE, DAMAGE, LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.calibration import POOLINGS
from pipelines.hand_foot_scoring.heads import MAXIMUM
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.provenance import OPEN, SIMULATED, PartRecord, Source, read_provenance
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.simulation.crops import EVEN_SHARE, Crops
from pipelines.hand_foot_scoring.simulation.painted import canvases
from pipelines.hand_foot_scoring.sites import SITES
from pipelines.hand_foot_scoring.training import bundle_files
from pipelines.hand_foot_scoring.training import shape as shape_training
from pipelines.hand_foot_scoring.training.canvases import licensed
from pipelines.hand_foot_scoring.training.damage_heads import (
    ENOUGH_JOINTS,
    ENOUGH_PATIENTS,
    calibrate,
    fit_joint_gate,
    train_damage,
)
from pipelines.hand_foot_scoring.training.data import layouts
from pipelines.hand_foot_scoring.training.data.digests import films_digest, licensed_digest
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import SETS, GradedFilm, SetName, divided
from pipelines.hand_foot_scoring.training.graded_canvases import GradedCanvases
from pipelines.hand_foot_scoring.training.graded_crops import VERSIONS, cut, joined, mixed
from pipelines.hand_foot_scoring.training.localiser import learn_children, train_localiser
from pipelines.hand_foot_scoring.training.mixture import simulated_patients
from pipelines.hand_foot_scoring.training.plan import CALIBRATION_SEED, CHILDREN, GATE_SEED, Plan, made
from pipelines.lab import plots
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.options import readable
from pipelines.lab.report_page import Report
from pipelines.lab.training_log import CsvLog, Progress, TensorBoardLog

PATIENTS_TABLE = "patients.csv"  # who is in which set
LOGS = "logs"  # folder of the bundle's folder with what the training left to be read


def _open(pictures: Sequence[str], digest: str) -> tuple[Source, ...]:
    """Real radiographs without grades, as a source."""
    return (Source(OPEN, films=len(pictures), data_sha256=digest),) if pictures else ()


@dataclass(frozen=True)
class SiteData:
    """The graded films of a site by set."""

    name: str
    licence: str
    layout: layouts.Layout
    shares: tuple[float, ...]  # of the patients, by set
    sets: dict[SetName, tuple[GradedFilm, ...]]
    digest: str  # of all of them

    def source(self, films: Sequence[GradedFilm], share: float) -> Source:
        """What the metadata say of some of them."""
        patients = len({film.patient for film in films})
        return Source(self.name, self.licence, patients, len(films), share, self.layout, self.shares, self.digest)


class Training:
    """One training: `run` makes every part that the plan asks for. Started again, it goes on where it was interrupted.

    Parameters
    ----------
    plan
        What is to be done.
    """

    def __init__(self, plan: Plan) -> None:
        self.plan, self.output = plan, plan.output
        self.console = Console()
        self.began = 0.0
        self.data: SiteData | None = None
        self.device = "cpu"
        self.stores: list[Path] = []

    def run(self) -> None:
        """Make the parts and write the bundle.

        Raises
        ------
        UnreadableData
            If data or folders are not as they should be.
        UnusableDevice
            If the device is not on this machine.
        OtherTraining
            If the folder holds the state of another training, or of one on other data.
        """
        self.began = time.monotonic()
        for folder in (self.plan.films, self.plan.data, self.plan.start):
            if folder is not None and not folder.exists():
                raise UnreadableData(f"{folder}: there is no such folder")
        torch.set_num_threads(self.plan.threads)
        self.device = str(resolved(self.plan.device))
        self.output.mkdir(parents=True, exist_ok=True)
        self.data = None if self.plan.data is None else self._site_data(self.plan.data)
        bundle_files.begin(self.output, self.plan.loss)
        for part in made(self.plan.only):
            record = {"shape": self._shape, "localiser": self._localiser, "damage": self._damage}.get(
                part, self._calibration
            )()
            bundle_files.add_part(self.output, part, record)
        self._finish()

    def _site_data(self, folder: Path) -> SiteData:
        plan = self.plan
        assert plan.layout is not None
        graded = layouts.read(plan.layout, folder)
        for remark in graded.remarks:
            self._say(remark)
        sets = divided(graded.films, plan.seed, plan.sets)
        for which in SETS:
            films = sets[which]
            grades = sum(len(film.grades) for film in films)
            patients = counted(len({film.patient for film in films}), "patient")
            self._say(f"{which}: {patients}, {counted(len(films), 'film')}, {counted(grades, 'grade')}")
        if not sets["training"]:
            raise UnreadableData(f"{folder}: no patient is in the set to learn from; choose another --seed")
        # beside the bundle and not in it: a bundle goes to the node, and may be passed on
        table = self.output.with_name(f"{self.output.name}.{PATIENTS_TABLE}")
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("patient", "set"))
            writer.writerows(sorted({(film.patient, name) for name, films in sets.items() for film in films}))
        name, digest = plan.name or graded.name, films_digest(graded.films)
        return SiteData(name, plan.licence, plan.layout, plan.sets, sets, digest)

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def _after(self) -> str:
        return f"after {time.monotonic() - self.began:.0f} s"

    def _finish(self) -> None:
        """Draw how the networks learned, and remove what only an interrupted training needs."""
        for store in self.stores:
            store.unlink(missing_ok=True)
        logs = sorted((self.output / LOGS).glob("*.csv"))
        if logs:
            report = Report(self.output / LOGS, "Training of hand_foot_scoring")
            report.note(self.plan.command)
            for log in logs:
                report.heading(log.stem)
                report.picture(log.stem, plots.learning_curves(log, title=log.stem), f"Learning curves of {log.stem}")
            self._say(f"learning curves: {report.write()}")
        readable(self.output)
        self._say(f"done after {(time.monotonic() - self.began) / 60:.1f} minutes")
        if self.data is not None:
            kept_apart = counted(len({film.patient for film in self.data.sets["test"]}), "patient")
            self._say(
                f"what it is worth on the {kept_apart} kept apart: condyle evaluate hand_foot_scoring"
                f" --data {self.plan.data} --layout {self.plan.layout} --bundle {self.output} --report FOLDER"
            )

    def _record(self, sources: Sequence[Source] = (Source(SIMULATED),), remarks: Sequence[str] = ()) -> PartRecord:
        return PartRecord(self.plan.command, self.plan.seed, tuple(sources), tuple(remarks))

    def _sources(self, films: Sequence[GradedFilm]) -> tuple[Source, ...]:
        """Simulated and real films in their shares."""
        share = self.plan.real_share
        if self.data is None or not films or share == 0:
            return (Source(SIMULATED),)
        real = self.data.source(films, share)
        return (real,) if share == 1 else (Source(SIMULATED, share=round(1 - share, 6)), real)

    def _with_earlier(self, part: str, sources: Sequence[Source]) -> tuple[Source, ...]:
        """The sources, and those of the network that the training started from."""
        before = {} if self.plan.start is None else read_provenance(self.plan.start).parts
        earlier = before[part].sources if part in before else ()
        named = {source.name for source in sources}
        return (*sources, *(replace(source, share=None) for source in earlier if source.name not in named))

    def _licensed(self) -> str:
        """Digest of the licensed radiographs, "" without any."""
        return "" if self.plan.films is None else licensed_digest(self.plan.films)

    def _checkpoint(self, part: str, name: str) -> Checkpoint:
        """Where a network's training keeps its state, with a name of all that it hangs on and a digest of the data."""
        data = self._licensed()
        if self.data is not None:
            name += f", {self.plan.real_share:g} of graded films"
            data = hashlib.sha256((data + films_digest(self.data.sets["training"])).encode()).hexdigest()
        if self.plan.start is not None:
            name += f", from {_sha256(self.plan.start / (DAMAGE if part == 'damage' else LOCALISER))}"
        return Checkpoint(self.output / f"{part}.training", name, data)

    def _handlers(self, part: str) -> tuple[Any, ...]:
        """What the training of a network leaves to be read."""
        logs = self.output / LOGS
        return (
            CsvLog(logs / f"{part}.csv"),
            TensorBoardLog(logs / "tensorboard" / part),
            Progress(part, self.console),
        )

    # ------------------------------------------------------------ the parts
    def _shape(self) -> PartRecord:
        if self.plan.start is not None:
            return self._copied(SHAPE)
        models = tuple(shape_training.build(part, self.plan.seed, self.plan.skeletons) for part in SITES)
        shape_training.save(models, self.output / SHAPE)
        self._say(f"shape models: {len(models[0].spread)} modes of the hand, {len(models[1].spread)} of the foot")
        return self._record()

    def _localiser(self) -> PartRecord:
        plan = self.plan
        self._provide(SHAPE)
        films = () if self.data is None else self.data.sets["training"]
        graded = GradedCanvases.of(films, load_shapes(self.output / SHAPE)) if films else None
        if films and graded is None and plan.start is not None:
            self._say("no film has enough marked joints to learn their places from: the localiser is that of --start")
            return self._copied(LOCALISER)
        if films and graded is None:
            self._say(
                "no film has enough marked joints to learn their places from: those of simulated films are learned"
            )
        seen = f"localiser, seed {plan.seed}, {plan.steps} steps"
        kept, children = (
            self._checkpoint("localiser", seen),
            self._checkpoint("children", f"{seen}, {plan.child_steps}"),
        )
        localiser = train_localiser(
            plan.seed,
            plan.steps,
            device=self.device,
            checkpoint=kept,
            films=plan.films,
            graded=graded,
            share=plan.real_share,
            initial=None if plan.start is None else weights.load_localiser(plan.start / LOCALISER),
            handlers=self._handlers("localiser"),
        )
        learn_children(localiser, plan.seed, plan.child_steps, children, self._handlers("children"))
        weights.save_network(localiser.cpu(), self.output / LOCALISER)
        kept.remove()
        children.remove()
        sources = self._sources([film for film in films if film.sites] if graded is not None else [])
        names = () if plan.films is None else licensed(plan.films)
        remarks = (f"learned from real radiographs too: {', '.join(names)}",) if names else ()
        return self._record(self._with_earlier("localiser", (*sources, *_open(names, self._licensed()))), remarks)

    def _damage(self) -> PartRecord:
        plan = self.plan
        crops, sources, remarks = self._crops_to_learn_from()
        kept = self._checkpoint(
            "damage", f"damage, seed {plan.seed}, {plan.patients} patients, {plan.epochs} epochs, {plan.loss}"
        )
        damage = train_damage(
            crops,
            plan.loss,
            plan.seed,
            plan.epochs,
            device=self.device,
            checkpoint=kept,
            initial=None if plan.start is None else weights.load_damage(plan.start / DAMAGE),
            handlers=self._handlers("damage"),
        ).cpu()
        weights.save_damage(damage, self.output)
        kept.remove()
        return self._record(self._with_earlier("damage", sources), remarks)

    def _crops_to_learn_from(self) -> tuple[Crops, tuple[Source, ...], tuple[str, ...]]:
        plan = self.plan
        films = () if self.data is None else tuple(film for film in self.data.sets["training"] if film.graded_sites)
        if not films or plan.real_share == 0:
            return (
                self._simulated(plan.patients),
                (*self._sources(films), *_open(self._canvases, self._licensed())),
                self._painted,
            )
        real, remarks = self._cut("training", films, VERSIONS)
        if plan.real_share == 1:
            return real, self._sources(films), remarks
        crops = self._simulated(plan.patients)
        return (
            mixed(crops, real, plan.real_share, plan.seed),
            (*self._sources(films), *_open(self._canvases, self._licensed())),
            (*self._painted, *remarks),
        )

    def _simulated(self, patients: int, added: int = 0, even: float = EVEN_SHARE, children: float = CHILDREN) -> Crops:
        """Crops of simulated patients; `added` to the seed, so that no patient is in two sets."""
        try:
            crops = simulated_patients(self.plan.seed + added, patients, self.plan.films, even=even, children=children)
        except FileNotFoundError as error:
            raise UnreadableData(str(error)) from error
        self._say(f"{len(crops)} simulated crops {self._after}")
        return crops

    @property
    def _painted(self) -> tuple[str, ...]:
        """What the metadata say of painted patients."""
        names = ", ".join(self._canvases)
        return (f"some of the simulated patients are painted on real radiographs: {names}",) if names else ()

    @property
    def _canvases(self) -> tuple[str, ...]:
        """The real radiographs that patients are painted on."""
        films = self.plan.films
        if films is None:
            return ()
        return tuple(canvas.name for part in SITES for canvas in canvases(films, part, parts=True))

    def _cut(self, name: SetName, films: Sequence[GradedFilm], versions: int) -> tuple[Crops, tuple[str, ...]]:
        self._provide(SHAPE)
        self._provide(LOCALISER)
        finder = Finder(weights.load_localiser(self.output / LOCALISER), load_shapes(self.output / SHAPE))
        store = self.output / f"{name}_crops.training"
        self.stores.append(store)

        def report(done: int) -> None:
            if done % 20 == 0 or done == len(films):
                self._say(f"{name}: joints of {done} of {len(films)} films cut {self._after}")

        found = cut(films, finder, self.plan.seed, versions, _sha256(self.output / LOCALISER), store, report)
        for remark in found.remarks:
            self._say(f"{name}, left out: {remark}")
        self._say(f"{name}: {len(found.crops)} real crops {self._after}")
        return found.crops, found.reasons

    def _calibration(self) -> PartRecord:
        plan = self.plan
        damage = weights.load_damage(self.output / DAMAGE)
        held = self._simulated(plan.calibration_patients, CALIBRATION_SEED, even=0, children=0)
        films = () if self.data is None else tuple(f for f in self.data.sets["calibration"] if f.graded_sites)
        graded = self._cut("calibration", films, 0)[0] if films else None
        fitted = calibrate(damage, held, graded)
        weights.save_calibration(fitted.calibration, self.output)
        known = self._simulated(plan.gate_patients, GATE_SEED, children=0)
        if graded is not None:  # what the site's own joints look like is known too
            known = joined((known, graded))
        weights.save_gate(fit_joint_gate(damage, known), self.output)
        for pooling in POOLINGS:
            correlation = fitted.calibration.correlation(pooling)
            self._say(f"correlation of errors between the cells of a patient, {pooling}: {correlation:.3f}")
        if self.data is None:
            return self._record((Source(SIMULATED), *_open(self._canvases, self._licensed())), self._painted)
        remarks = [
            f"{head} on {counted(fitted.on_graded[head], 'graded patient')}"
            if head in fitted.on_graded
            else f"{head} on simulated patients: fewer than {ENOUGH_PATIENTS} graded ones or {ENOUGH_JOINTS} of their"
            " joints are in the calibration set"
            for head in MAXIMUM
        ]
        for remark in remarks:
            self._say(f"calibrated: {remark}")
        sources = [Source(SIMULATED)] if len(fitted.on_graded) < len(remarks) else []
        return self._record([*sources, *([self.data.source(films, 1.0)] if fitted.on_graded else [])], remarks)

    def _provide(self, name: str) -> None:
        """Copy a file that a part needs and that is not made in this run."""
        if not (self.output / name).is_file():
            part = "shape" if name == SHAPE else "localiser"
            bundle_files.add_part(self.output, part, self._copied(name))

    def _copied(self, name: str) -> PartRecord:
        source: Path = self.plan.start or BUNDLE
        if not (source / name).is_file():
            raise UnreadableData(f"{source}: holds no {name}")
        shutil.copyfile(source / name, self.output / name)
        self._say(f"{name} is that of {source}")
        before = read_provenance(source).parts
        part = "shape" if name == SHAPE else "localiser"
        return before[part] if part in before else self._record()


def _sha256(path: Path) -> str:
    return hashlib.sha256(path.read_bytes()).hexdigest()
