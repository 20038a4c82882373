"""What a training is to do: a value for each option of `condyle train hand_foot_scoring` and of configs/train.json."""

from __future__ import annotations

import shlex
from collections.abc import Sequence
from pathlib import Path
from typing import Annotated, Literal, Self, get_args

from pydantic import AfterValidator, BaseModel, ConfigDict, Field, model_validator

from pipelines.device import device_name
from pipelines.hand_foot_scoring.heads import Loss
from pipelines.hand_foot_scoring.provenance import PIPELINE
from pipelines.hand_foot_scoring.training.data.graded_films import SHARES
from pipelines.hand_foot_scoring.training.data.layouts import Layout
from pipelines.hand_foot_scoring.training.localiser import CHILD_STEPS

Part = Literal["shape", "localiser", "damage", "calibration"]
PARTS: tuple[Part, ...] = get_args(Part)
SKELETONS, STEPS, PATIENTS, EPOCHS, CALIBRATION_PATIENTS, GATE_PATIENTS = 1500, 10_000, 960, 16, 160, 80
REAL_SHARE = 0.5
CHILDREN = 0.2  # of the patients that the heads learn from
CALIBRATION_SEED, TEST_SEED, GATE_SEED = 10_000, 20_000, 30_000  # added to the seed: no patient is in two sets
Count = Annotated[int, Field(ge=0)]
Share = Annotated[float, Field(ge=0, le=1)]


class Plan(BaseModel):
    """A training of the whole bundle, or of some of its parts."""

    model_config = ConfigDict(frozen=True, extra="forbid")

    output: Path  # folder of the bundle to write
    seed: Count = 0
    device: Annotated[str, AfterValidator(device_name)] = "auto"
    threads: Annotated[int, Field(ge=1)] = 1
    only: tuple[Part, ...] | None = None  # parts to make; None: all
    films: Path | None = None  # folder of the licensed radiographs, and of the micro-CT
    data: Path | None = None  # folder of graded films; None: simulated films only
    layout: Layout | None = None
    name: str | None = None  # of the data; None: that of set or folder
    licence: str = "not stated"  # of the data
    real_share: Share = REAL_SHARE  # of what is learned from that is real
    sets: tuple[Share, Share, Share] = SHARES  # of the patients for training, calibration and test
    start: Path | None = None  # bundle whose networks the training starts from; None: random ones
    skeletons: Count = SKELETONS  # simulated, of each part
    steps: Count = STEPS  # batches of 8 films for the localiser
    child_steps: Count = CHILD_STEPS  # batches for its sign of open growth plates, afterwards
    patients: Count = PATIENTS  # simulated, for the damage heads
    epochs: Annotated[int, Field(ge=1)] = EPOCHS  # of the damage heads
    calibration_patients: Count = CALIBRATION_PATIENTS
    gate_patients: Count = GATE_PATIENTS
    loss: Loss = "local_smoothing"  # of the damage heads

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if (self.data is None) != (self.layout is None):
            raise ValueError("--data and --layout must be given together")
        if abs(sum(self.sets) - 1) > 1e-6:
            raise ValueError(f"--sets must add up to 1, not {sum(self.sets):g}")
        return self

    @property
    def command(self) -> str:
        """The command that does the same; folders by their last name, since it says nothing of the machine."""
        words = ["condyle", "train", PIPELINE]
        for name, value in self:
            if name in ("output", "threads") or value == type(self).model_fields[name].default:
                continue
            option = f"--{name.replace('_', '-')}"
            if name == "only":
                words += [word for part in value for word in (option, part)]
            else:
                words += [option, *(_word(one) for one in (value if isinstance(value, tuple) else (value,)))]
        return shlex.join(words)


def _word(value: object) -> str:
    if isinstance(value, Path):
        return value.name
    return f"{value:g}" if isinstance(value, float) else str(value)


def made(only: Sequence[Part] | None) -> tuple[Part, ...]:
    """The parts that are made, in the order in which they need one another."""
    return tuple(part for part in PARTS if part in (only or PARTS))
