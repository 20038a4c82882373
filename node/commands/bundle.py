"""`condyle bundle add` and `condyle bundle check`: a MONAI bundle is read, and nothing of it runs."""

from __future__ import annotations

import os
import re
from pathlib import Path
from typing import Literal

from rich.text import Text

from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.terminal import console
from node.config import Configuration
from node.config.check_result import CheckResult
from node.config.route_settings import read_with_settings
from node.listings.checks import check_listings
from node.listings.listing import as_json
from pipelines.bundle import BundleError
from pipelines.monai_bundle.block import block
from pipelines.monai_bundle.folder import BundleFolder, targets_in
from pipelines.monai_bundle.inspection import problems
from pipelines.monai_bundle.settings import BundleEntry
from pipelines.monai_bundle.targets import DETECTOR_CALLER, LEFT_OUT, known_name

State = Literal["good", "doubtful", "bad"]
STYLES = {"good": "green", "doubtful": "yellow", "bad": "red"}


def add(folder: Path, name: str | None, config: Path) -> int:
    """Read a folder, convert its weights to safetensors beside them, and print its entry for config.yaml.

    Parameters
    ----------
    folder
        Of the bundle.
    name
        In the configuration; None: that of the folder.
    config
        The configuration that the entry is for: the path in it is relative to its folder.
    """
    if name is not None and name != fit_name(name):
        sentence = f"--name: {name}: should be letters, digits, - and _, such as {fit_name(name)}"
        console(error=True).print(sentence, markup=False, soft_wrap=True)
        return USAGE
    try:
        bundle = BundleFolder(folder)
        weights = bundle.weights_file
        if weights.suffix != ".safetensors":
            from pipelines.monai_bundle.weights import convert

            made = convert(weights)
            console(error=True).print(f"{weights} converted to {made.name}, which is read from now on", markup=False)
        text = block(bundle, name or fit_name(folder.absolute().name), _path_for(folder, config))
    except BundleError as error:
        console(error=True).print(str(error), markup=False, soft_wrap=True)
        return NOT_RIGHT
    for line in text.splitlines():
        console().print(line, markup=False, highlight=False, soft_wrap=True)
    unread = bundle.parts().unread
    if unread:
        out = console(error=True)
        out.print("It runs with trust: code only, as this is not understood:", markup=False)
        for one in unread:
            out.print(f"  {one.sentence}", markup=False, soft_wrap=True)
    return OK


def fit_name(folder: str) -> str:
    """A folder's name as a name in the configuration."""
    return re.sub(r"[^A-Za-z0-9_-]+", "_", folder).strip("_-")[:64] or "bundle"


def _path_for(folder: Path, config: Path) -> Path:
    """The folder as the configuration names it: relative where it lies below the configuration's own folder."""
    whole, home = folder.resolve(), config.absolute().parent.resolve()
    return whole.relative_to(home) if whole.is_relative_to(home) else whole


def check(name: str, config: Path, *, json_output: bool = False) -> int:
    """Say what is known of a bundle without running it: digest, targets, expressions, geometry.

    Parameters
    ----------
    name
        An entry of `bundles:`, or a folder.
    config
        The configuration, where `name` is an entry of it.
    json_output
        Print a JSON list.

    Returns
    -------
    int
        `NOT_RIGHT` if something is wrong, `USAGE` if there is no such bundle.
    """
    report = _Report(quiet=json_output)
    settings = None
    folder = Path(name)
    is_there = os.path.lexists(folder)
    if not os.path.isdir(folder / "configs") and (config.is_file() or not is_there):
        configuration = read_with_settings(config)
        settings = configuration.bundles.get(name)
        if settings is None and not is_there:
            console(error=True).print(_unknown(name, configuration), markup=False, soft_wrap=True)
            return USAGE
        folder = folder if settings is None else settings.path
    try:
        bundle = BundleFolder(folder)
        _digest(report, bundle, settings)
        trusted = settings is not None and settings.trust == "code"
        _parts(report, bundle, "doubtful" if trusted else "bad")
        if settings is not None:
            _configured(report, settings)
        else:
            _weights(report, bundle)
        _geometry(report, bundle)
    except BundleError as error:
        report.say("bad", "bundle", str(error))
    if json_output:
        console().print_json(as_json(check_listings(report.found)))
    return NOT_RIGHT if report.wrong else OK


def _unknown(name: str, configuration: Configuration) -> str:
    known = ", ".join(configuration.bundles) or "none"
    return f"{name} is neither a folder with configs in it nor a bundle of the configuration; there are: {known}"


class _Report:
    """Lines as `condyle check` has them, printed as they are found unless it is quiet."""

    def __init__(self, *, quiet: bool) -> None:
        self.found: list[CheckResult] = []
        self._out, self._quiet = console(), quiet

    @property
    def wrong(self) -> bool:
        """Whether something is bad."""
        return any(one.state == "bad" for one in self.found)

    def say(self, state: State, key: str, sentence: str) -> None:
        """One finding."""
        self.found.append(CheckResult(key, state, sentence))
        if self._quiet:
            return
        self._out.print(Text.assemble((f"{state:<9} ", STYLES[state]), f"{key}: {sentence}"), soft_wrap=True)


def _digest(report: _Report, bundle: BundleFolder, settings: BundleEntry | None) -> None:
    digest, count = bundle.digest, len(bundle.files)
    if settings is None or settings.sha256 == digest:
        report.say("good", "sha256", f"{digest}, over {count} files of configs, models and scripts")
    else:
        report.say("bad", "sha256", f"{digest}, and the configuration asks for {settings.sha256}")


def _parts(report: _Report, bundle: BundleFolder, state_of_unread: State) -> None:
    parts = bundle.parts()
    whole = (parts.preprocessing, parts.network, parts.inferer, parts.postprocessing, parts.detector)
    seen: dict[str, str] = {}
    for one in targets_in(list(whole)):
        own = known_name(one.target)
        state = "in MONAI's list" if own is not None and own not in LEFT_OUT else "Condyle calls the detector itself"
        if own is None and one.target != DETECTOR_CALLER:
            state = "not on the list"
        seen.setdefault(one.target, state)
    for target, state in seen.items():
        report.say(state_of_unread if state == "not on the list" else "good", target, state)
    for left in parts.left_out:
        where, _, target = left.partition(": ")
        report.say("good", target, f"left out at {where}: images come from DICOM, and results go there")
    for unread in parts.unread:
        report.say(state_of_unread, unread.where, f"{unread.text}: {unread.why}")


def _weights(report: _Report, bundle: BundleFolder) -> None:
    weights = bundle.weights_file
    if weights.suffix == ".safetensors":
        report.say("good", "weights", f"{weights.name}, {weights.stat().st_size / 2**20:.1f} MB")
        return
    from pipelines.monai_bundle.weights import read_weights

    count = len(read_weights(weights))
    sentence = f"{weights.name} holds {count} tensors and nothing else; `condyle bundle add` converts it to safetensors"
    report.say("doubtful", "weights", sentence)


def _configured(report: _Report, settings: BundleEntry) -> None:
    found = [one for one in problems(settings, build=True) if one[0] != "sha256"]
    for key, sentence in found:
        report.say("bad", key, sentence)
    if not found:
        report.say("good", "inputs and output", f"{', '.join(settings.inputs)} to {settings.output.kind}")
    if settings.trust == "code":
        from node import box

        why_not = box.why_not()
        sentence = (
            "its own code runs, in a box without network" if why_not is None else f"there is no box, for {why_not}"
        )
        report.say("doubtful" if why_not is None else "bad", "trust", f"code: {sentence}")


def _geometry(report: _Report, bundle: BundleFolder) -> None:
    from dicom_sr.errors import UnsuitableInput
    from pipelines.monai_bundle.geometry import geometry_test, why_not_tested

    if (why_not := why_not_tested(bundle)) is not None:
        report.say("doubtful", "geometry", f"not tested: {why_not}")
        return
    try:
        found = geometry_test(bundle)
    except (UnsuitableInput, BundleError) as error:
        report.say("bad", "geometry", f"the test body cannot be sent through the transforms: {error}")
        return
    dice = f"Dice {found.dice[0]:.3f}, with the slices numbered backwards {found.dice[1]:.3f}"
    report.say("good" if found.right else "bad", "geometry", f"{found.sentence} ({dice})")
