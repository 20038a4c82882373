"""Training: `condyle train hand_foot_scoring --seed N` makes the shape model, both networks and the calibration.

With `--films FOLDER` some of the simulated patients of the heads are real healthy limbs with painted damage. With
`--data FOLDER --layout LAYOUT` the networks learn from a site's graded films too, mixed with simulated ones: patients
are divided into those to learn from, those to calibrate on and those to measure on. Started again after an
interruption, it continues from the state that it stores in the output folder.
"""

from __future__ import annotations

import argparse
import csv
import hashlib
import shlex
import shutil
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import torch
from rich.console import Console

from dicom_sr.words import counted
from pipelines.hand_foot_scoring import BUNDLE, DAMAGE, LOCALISER, SHAPE, weights
from pipelines.hand_foot_scoring.calibration import POOLINGS
from pipelines.hand_foot_scoring.heads import LOSSES, MAXIMUM, Loss
from pipelines.hand_foot_scoring.localise import Finder
from pipelines.hand_foot_scoring.manifest import (
    OPEN,
    PIPELINE,
    SIMULATED,
    PartRecord,
    Source,
    add_to_manifest,
    read_manifest,
)
from pipelines.hand_foot_scoring.shape import load_shapes
from pipelines.hand_foot_scoring.simulation.crops import EVEN_SHARE, Crops
from pipelines.hand_foot_scoring.simulation.painted import canvases
from pipelines.hand_foot_scoring.sites import SITES
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
from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData
from pipelines.hand_foot_scoring.training.data.graded_films import SETS, SHARES, GradedFilm, SetName, divided
from pipelines.hand_foot_scoring.training.graded_canvases import GradedCanvases
from pipelines.hand_foot_scoring.training.graded_crops import VERSIONS, cut, data_name, joined, mixed
from pipelines.hand_foot_scoring.training.localiser import CHILD_STEPS, train_localiser
from pipelines.hand_foot_scoring.training.mixture import simulated_patients
from pipelines.lab.checkpoint import Checkpoint, OtherTraining

PARTS = ("shape", "localiser", "damage", "calibration")
SKELETONS, STEPS, PATIENTS, EPOCHS, CALIBRATION_PATIENTS, GATE_PATIENTS = 1500, 10_000, 960, 16, 160, 80
CHILDREN = 0.2  # of the patients that the heads learn from
CALIBRATION_SEED, TEST_SEED, GATE_SEED = 10_000, 20_000, 30_000  # added to the seed: no patient is in two sets
REAL_SHARE = 0.5
PATIENTS_TABLE = "patients.csv"  # who is in which set


def parser() -> argparse.ArgumentParser:
    """The command's options."""
    made = argparse.ArgumentParser(prog="condyle train hand_foot_scoring", description=__doc__)
    made.add_argument(
        "--seed", type=int, default=0, help="of weights, simulated patients and the division of real ones"
    )
    made.add_argument("--output", type=Path, default=BUNDLE, help="folder of the bundle to write")
    made.add_argument("--only", choices=PARTS, action="append", help="make only this part; may be repeated")
    made.add_argument(
        "--films",
        type=Path,
        help="folder of the licensed radiographs, and of the micro-CT: localiser and heads learn from these too",
    )
    made.add_argument("--data", type=Path, help="folder of graded films; simulated films only if omitted")
    made.add_argument("--layout", choices=layouts.LAYOUTS, help=f"of --data. {layouts.HELP}")
    made.add_argument("--name", help="of the data, for the manifest and every result; else that of set or folder")
    made.add_argument("--licence", default="not stated", help="of the data, for the manifest")
    made.add_argument(
        "--real-share", type=_share, default=REAL_SHARE, help="of what is learned from that is real, 0 to 1"
    )
    made.add_argument(
        "--sets",
        type=_share,
        nargs=3,
        default=SHARES,
        metavar="SHARE",
        help="shares of the patients for training, calibration and test, where the data do not divide them",
    )
    made.add_argument(
        "--start", type=Path, help="bundle whose networks the training starts from; else from random ones"
    )
    made.add_argument("--skeletons", type=int, default=SKELETONS, help="simulated, of each part, for the shape models")
    made.add_argument("--steps", type=int, default=STEPS, help="batches of 8 films for the localiser")
    made.add_argument(
        "--child-steps", type=int, default=CHILD_STEPS, help="batches for its sign of open growth plates, afterwards"
    )
    made.add_argument("--patients", type=int, default=PATIENTS, help="simulated patients for the damage heads")
    made.add_argument("--epochs", type=int, default=EPOCHS, help="of the damage heads")
    made.add_argument(
        "--calibration-patients", type=int, default=CALIBRATION_PATIENTS, help="simulated patients for the calibration"
    )
    made.add_argument(
        "--gate-patients", type=int, default=GATE_PATIENTS, help="simulated patients for the gate of the joints"
    )
    made.add_argument("--loss", choices=LOSSES, default="local_smoothing", help="of the damage heads")
    made.add_argument("--threads", type=int, default=1, help="threads of torch")
    made.add_argument("--device", default="cuda" if torch.cuda.is_available() else "cpu", help="where torch computes")
    return made


def _open(pictures: Sequence[str]) -> tuple[Source, ...]:
    """Real radiographs without grades, as a source."""
    return (Source(OPEN, films=len(pictures)),) if pictures else ()


def _share(text: str) -> float:
    value = float(text)
    if not 0 <= value <= 1:
        raise argparse.ArgumentTypeError(f"{text} is not from 0 to 1")
    return value


def main(arguments: list[str]) -> int:
    """Train what was asked for and write the bundle; 0 on success, 2 where options, data or folder do not fit."""
    options = parser().parse_args(arguments)
    torch.set_num_threads(options.threads)
    console = Console()
    wrong = _wrong(options)
    if wrong is not None:
        console.print(wrong, markup=False, soft_wrap=True)
        return 2
    try:
        options.output.mkdir(parents=True, exist_ok=True)
        training = Training(options, shlex.join(["condyle", "train", PIPELINE, *_without_folders(arguments)]), console)
        for part in PARTS:
            if part in (options.only or PARTS):
                training.make(part)
    except (OtherTraining, UnreadableData) as error:
        console.print(str(error), markup=False, soft_wrap=True)
        return 2
    training.finish()
    return 0


def _wrong(options: argparse.Namespace) -> str | None:
    if (options.data is None) != (options.layout is None):
        return "--data and --layout must be given together"
    if options.data is not None and options.output.absolute() == BUNDLE.absolute():
        return "--data needs --output: the bundle that ships with Condyle is not written over with a site's own"
    if abs(sum(options.sets) - 1) > 1e-6:
        return f"--sets must add up to 1, not {sum(options.sets):g}"
    return None


def _without_folders(arguments: Sequence[str]) -> list[str]:
    """The arguments with paths cut down to their last name: a manifest travels, and says nothing of the machine."""
    return [Path(word).name if "/" in word or "\\" in word else word for word in arguments]


@dataclass(frozen=True)
class SiteData:
    """The graded films of a site by set."""

    name: str
    licence: str
    layout: layouts.Layout
    shares: tuple[float, ...]  # of the patients, by set
    sets: dict[SetName, tuple[GradedFilm, ...]]

    def source(self, films: Sequence[GradedFilm], share: float) -> Source:
        """What a manifest says of some of them."""
        patients = len({film.patient for film in films})
        return Source(self.name, self.licence, patients, len(films), share, self.layout, self.shares)


class Training:
    """One run of the command."""

    def __init__(self, options: argparse.Namespace, command: str, console: Console) -> None:
        self.options, self.command, self.console = options, command, console
        self.output: Path = options.output
        self.began = time.monotonic()
        self.data = None if options.data is None else self._site_data()
        self.stores: list[Path] = []

    def _site_data(self) -> SiteData:
        graded = layouts.read(self.options.layout, self.options.data)
        for remark in graded.remarks:
            self._say(remark)
        sets = divided(graded.films, self.options.seed, self.options.sets)
        for name in SETS:
            films = sets[name]
            grades = sum(len(film.grades) for film in films)
            patients = counted(len({film.patient for film in films}), "patient")
            self._say(f"{name}: {patients}, {counted(len(films), 'film')}, {counted(grades, 'grade')}")
        if not sets["training"]:
            raise UnreadableData(f"{self.options.data}: no patient is in the set to learn from; choose another --seed")
        # beside the bundle and not in it: a bundle goes to the node, and may be passed on
        table = self.output.with_name(f"{self.output.name}.{PATIENTS_TABLE}")
        with table.open("w", newline="", encoding="utf-8") as stream:
            writer = csv.writer(stream)
            writer.writerow(("patient", "set"))
            writer.writerows(sorted({(film.patient, name) for name, films in sets.items() for film in films}))
        options = self.options
        return SiteData(options.name or graded.name, options.licence, options.layout, tuple(options.sets), sets)

    def _say(self, text: str) -> None:
        self.console.print(text, markup=False, highlight=False, soft_wrap=True)

    @property
    def _after(self) -> str:
        return f"after {time.monotonic() - self.began:.0f} s"

    def make(self, part: str) -> None:
        """Make one part of the bundle and enter it in the manifest."""
        record = {"shape": self._shape, "localiser": self._localiser, "damage": self._damage}.get(
            part, self._calibration
        )()
        add_to_manifest(self.output, part, record)

    def finish(self) -> None:
        """Remove what only an interrupted training needs."""
        for store in self.stores:
            store.unlink(missing_ok=True)
        self._say(f"done after {(time.monotonic() - self.began) / 60:.1f} minutes")
        if self.data is not None:
            kept_apart = counted(len({film.patient for film in self.data.sets["test"]}), "patient")
            self._say(
                f"what it is worth on the {kept_apart} kept apart: condyle evaluate hand_foot_scoring"
                f" --data {self.options.data} --layout {self.options.layout} --bundle {self.output} --report FOLDER"
            )

    def _record(self, sources: Sequence[Source] = (Source(SIMULATED),), remarks: Sequence[str] = ()) -> PartRecord:
        return PartRecord(self.command, self.options.seed, tuple(sources), tuple(remarks))

    def _sources(self, films: Sequence[GradedFilm]) -> tuple[Source, ...]:
        """Simulated and real films in their shares."""
        share: float = self.options.real_share
        if self.data is None or not films or share == 0:
            return (Source(SIMULATED),)
        real = self.data.source(films, share)
        return (real,) if share == 1 else (Source(SIMULATED, share=round(1 - share, 6)), real)

    def _with_earlier(self, part: str, sources: Sequence[Source]) -> tuple[Source, ...]:
        """The sources, and those of the network that the training started from."""
        before = None if self.options.start is None else read_manifest(self.options.start)
        earlier = () if before is None or part not in before.parts else before.parts[part].sources
        named = {source.name for source in sources}
        return (*sources, *(replace(source, share=None) for source in earlier if source.name not in named))

    def _checkpoint(self, part: str, name: str) -> Checkpoint:
        if self.options.films is not None:
            name += ", painted"
        if self.data is not None:
            name += f", {self.options.real_share:g} of {data_name(self.data.sets['training'])}"
        if self.options.start is not None:
            name += f", from {self.options.start.name}"
        return Checkpoint(self.output / f"{part}.training", name)

    # ------------------------------------------------------------ the parts
    def _shape(self) -> PartRecord:
        if self.options.start is not None:
            return self._copied(SHAPE)
        models = tuple(shape_training.build(part, self.options.seed, self.options.skeletons) for part in SITES)
        shape_training.save(models, self.output / SHAPE)
        self._say(f"shape models: {len(models[0].spread)} modes of the hand, {len(models[1].spread)} of the foot")
        return self._record()

    def _localiser(self) -> PartRecord:
        options = self.options
        self._provide(SHAPE)
        films = () if self.data is None else self.data.sets["training"]
        graded = GradedCanvases.of(films, load_shapes(self.output / SHAPE)) if films else None
        if films and graded is None and options.start is not None:
            self._say("no film has enough marked joints to learn their places from: the localiser is that of --start")
            return self._copied(LOCALISER)
        kept = self._checkpoint("localiser", f"localiser, seed {options.seed}, {options.steps} steps")
        localiser = train_localiser(
            options.seed,
            options.steps,
            report=lambda step, loss: self._say(f"localiser, step {step}: loss {loss:.3f} {self._after}"),
            device=options.device,
            checkpoint=kept,
            films=options.films,
            graded=graded,
            share=options.real_share,
            child_steps=options.child_steps,
            initial=None if options.start is None else weights.load_localiser(options.start / LOCALISER),
        ).cpu()
        weights.save_network(localiser, self.output / LOCALISER)
        kept.remove()
        sources = self._sources([film for film in films if film.sites] if graded is not None else [])
        names = () if options.films is None else licensed(options.films)
        remarks = (f"learned from real radiographs too: {', '.join(names)}",) if names else ()
        return self._record(self._with_earlier("localiser", (*sources, *_open(names))), remarks)

    def _damage(self) -> PartRecord:
        options = self.options
        loss: Loss = options.loss
        crops, sources, remarks = self._crops_to_learn_from()
        kept = self._checkpoint(
            "damage", f"damage, seed {options.seed}, {options.patients} patients, {options.epochs} epochs, {loss}"
        )
        damage = train_damage(
            crops,
            loss,
            options.seed,
            options.epochs,
            report=lambda epoch, value: self._say(f"damage, epoch {epoch}: loss {value:.3f} {self._after}"),
            device=options.device,
            checkpoint=kept,
            initial=None if options.start is None else weights.load_damage(options.start / DAMAGE),
        ).cpu()
        weights.save_damage(damage, self.output)
        kept.remove()
        return self._record(self._with_earlier("damage", sources), remarks)

    def _crops_to_learn_from(self) -> tuple[Crops, tuple[Source, ...], tuple[str, ...]]:
        options = self.options
        films = () if self.data is None else tuple(film for film in self.data.sets["training"] if film.graded_sites)
        if not films or options.real_share == 0:
            return self._simulated(options.patients), (*self._sources(films), *_open(self._canvases)), self._painted
        real, remarks = self._cut("training", films, VERSIONS)
        if options.real_share == 1:
            return real, self._sources(films), remarks
        crops = self._simulated(options.patients)
        return (
            mixed(crops, real, options.real_share, options.seed),
            (*self._sources(films), *_open(self._canvases)),
            (*self._painted, *remarks),
        )

    def _simulated(self, patients: int, added: int = 0, even: float = EVEN_SHARE, children: float = CHILDREN) -> Crops:
        """Crops of simulated patients; `added` to the seed, so that no patient is in two sets."""
        try:
            crops = simulated_patients(
                self.options.seed + added, patients, self.options.films, even=even, children=children
            )
        except FileNotFoundError as error:
            raise UnreadableData(str(error)) from error
        self._say(f"{len(crops)} simulated crops {self._after}")
        return crops

    @property
    def _painted(self) -> tuple[str, ...]:
        """What the manifest says of painted patients."""
        names = ", ".join(self._canvases)
        return (f"some of the simulated patients are painted on real radiographs: {names}",) if names else ()

    @property
    def _canvases(self) -> tuple[str, ...]:
        """The real radiographs that patients are painted on."""
        films = self.options.films
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

        found = cut(films, finder, self.options.seed, versions, _found_by(self.output / LOCALISER), store, report)
        for remark in found.remarks:
            self._say(f"{name}, left out: {remark}")
        self._say(f"{name}: {len(found.crops)} real crops {self._after}")
        return found.crops, found.reasons

    def _calibration(self) -> PartRecord:
        options = self.options
        damage = weights.load_damage(self.output / DAMAGE)
        held = self._simulated(options.calibration_patients, CALIBRATION_SEED, even=0, children=0)
        films = () if self.data is None else tuple(f for f in self.data.sets["calibration"] if f.graded_sites)
        graded = self._cut("calibration", films, 0)[0] if films else None
        fitted = calibrate(damage, held, graded)
        weights.save_calibration(fitted.calibration, self.output)
        known = self._simulated(options.gate_patients, GATE_SEED, children=0)
        if graded is not None:  # what the site's own joints look like is known too
            known = joined((known, graded))
        weights.save_gate(fit_joint_gate(damage, known), self.output)
        for pooling in POOLINGS:
            correlation = fitted.calibration.correlation(pooling)
            self._say(f"correlation of errors between the cells of a patient, {pooling}: {correlation:.3f}")
        if self.data is None:
            return self._record((Source(SIMULATED), *_open(self._canvases)), self._painted)
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
            add_to_manifest(self.output, part, self._copied(name))

    def _copied(self, name: str) -> PartRecord:
        source: Path = self.options.start or BUNDLE
        if not (source / name).is_file():
            raise UnreadableData(f"{source}: holds no {name}")
        shutil.copyfile(source / name, self.output / name)
        self._say(f"{name} is that of {source}")
        before = read_manifest(source)
        part = "shape" if name == SHAPE else "localiser"
        if before is not None and part in before.parts:
            return before.parts[part]
        return self._record()


def _found_by(localiser: Path) -> str:
    return hashlib.sha256(localiser.read_bytes()).hexdigest()
