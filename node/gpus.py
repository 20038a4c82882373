"""Which GPU each inference process sees; without torch, which the node itself does not load."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Literal

from node.config.sections import RunSettings
from pipelines.device import MEMORY_LIMIT

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")


def gpus(asked: Literal["auto", "none"] | tuple[int, ...], environment: Mapping[str, str]) -> tuple[str, ...]:
    """The GPUs for pipelines, as CUDA names them; none where there are none.

    Parameters
    ----------
    asked
        `run.gpus`: all that the node was given, none, or some by their numbers among those.
    environment
        Of the node; `CUDA_VISIBLE_DEVICES` says which it was given, else those of the machine.
    """
    given = environment.get(VISIBLE)
    if given is None:
        there = tuple(str(number) for number in range(len(list(DEVICES.glob("nvidia[0-9]*")))))
    else:
        there = tuple(name.strip() for name in given.split(",") if name.strip())
    if asked == "auto":
        return there
    if asked == "none":
        return ()
    return tuple(there[number] for number in asked if number < len(there))


def environment_of(slot: int, run: RunSettings, environment: Mapping[str, str]) -> dict[str, str]:
    """The variables that show a process its GPU, or hide all of them.

    The first processes get one each, as many for each GPU as `run.workers_per_gpu` says; the others compute on the CPU.

    Parameters
    ----------
    slot
        Number of the process, from 0.
    run
        The configuration.
    environment
        Of the node.
    """
    there = gpus(run.gpus, environment)
    if slot >= len(there) * run.workers_per_gpu:
        return {VISIBLE: ""}
    limit = {} if run.gpu_memory_limit_mb is None else {MEMORY_LIMIT: str(run.gpu_memory_limit_mb)}
    return {VISIBLE: there[slot % len(there)], **limit}
