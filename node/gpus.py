"""Which GPU each inference process sees; without torch, which the node itself does not load."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal

from pipelines.device import MEMORY_LIMIT as MEMORY_LIMIT

Asked = Literal["auto", "none"] | tuple[int, ...]  # as `run.gpus`

VISIBLE = "CUDA_VISIBLE_DEVICES"
DEVICES = Path("/dev")


def gpus(asked: Asked, environment: Mapping[str, str]) -> tuple[str, ...]:
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


def environment_of(
    slot: int, there: Sequence[str], workers_per_gpu: int, memory_limit_mb: int | None
) -> dict[str, str]:
    """The variables that show a process its GPU, or hide all of them.

    The first processes get one each, several for each GPU where they share it; the others compute on the CPU.

    Parameters
    ----------
    slot
        Number of the process, from 0.
    there
        As `gpus` gives them.
    workers_per_gpu
        How many processes share one.
    memory_limit_mb
        Of a GPU's memory, what each process may take; None: what there is.
    """
    if slot >= len(there) * workers_per_gpu:
        return {VISIBLE: ""}
    limit = {} if memory_limit_mb is None else {MEMORY_LIMIT: str(memory_limit_mb)}
    return {VISIBLE: there[slot % len(there)], **limit}
