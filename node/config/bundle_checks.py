"""Are the bundles fit to run: the files those that were pinned, everything understood, and everything buildable?"""

from __future__ import annotations

import os
from collections.abc import Iterator

from dicom_sr.provenance import first_series_number
from dicom_sr.words import counted
from node import box
from node.config.check_result import CheckResult
from node.config.sections import Configuration
from pipelines.monai_bundle.inspection import problems
from pipelines.monai_bundle.settings import PREFIX, BundleEntry


def bundles(configuration: Configuration, *, build: bool = False) -> Iterator[CheckResult]:
    """Digest, parts, inputs and outputs of every bundle, and whether two of them number their series alike.

    Parameters
    ----------
    configuration
        Of the node.
    build
        Whether networks and transforms are built and weights loaded too, which takes seconds and memory.
    """
    numbered: dict[int, str] = {}
    used = {route.pipeline for route in configuration.routes.values()}
    for name, bundle in configuration.bundles.items():
        here = f"bundles.{name}"
        wrong = list(problems(bundle, build=build))
        yield from (CheckResult(f"{here}.{key}", "bad", sentence) for key, sentence in wrong)
        yield from _code(here, bundle)
        if not wrong:
            kind = bundle.output.kind
            yield CheckResult(
                here, "good", f"{bundle.path}: {kind} of {counted(len(bundle.inputs), 'input')}, as pinned"
            )
        if f"{PREFIX}{name}" not in used:
            yield CheckResult(here, "doubtful", f"no route has the pipeline {PREFIX}{name}: it does not run")
        first = first_series_number(f"{PREFIX}{name}", bundle.series_base)
        if (other := numbered.setdefault(first, name)) != name:
            sentence = f"its series get the same numbers as those of bundles.{other}; should be a number of its own"
            yield CheckResult(f"{here}.series_base", "doubtful", sentence)


def _code(here: str, bundle: BundleEntry) -> Iterator[CheckResult]:
    if bundle.trust != "code":
        if bundle.python is not None:
            yield CheckResult(f"{here}.python", "doubtful", f"{bundle.python}: is used with trust: code only")
        return
    if (why_not := box.why_not()) is not None:
        yield CheckResult(f"{here}.trust", "bad", f"code: needs a box to run in, and there is none, for {why_not}")
    else:
        yield CheckResult(f"{here}.trust", "doubtful", "code: runs what the bundle brings, in a box without network")
    if bundle.python is not None and not os.access(bundle.python, os.X_OK):
        yield CheckResult(f"{here}.python", "bad", f"{bundle.python}: is no program that this account may run")
