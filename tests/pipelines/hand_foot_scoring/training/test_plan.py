"""What a training is to do."""

from __future__ import annotations

from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.hand_foot_scoring.training import train
from pipelines.hand_foot_scoring.training.plan import Plan, made


def test_the_command_of_a_plan_makes_that_plan_and_names_no_folder_of_the_machine(tmp_path: Path) -> None:
    plan = Plan(
        output=tmp_path / "out",
        seed=3,
        only=("localiser", "damage"),
        data=tmp_path / "Site X",
        layout="own",
        sets=(0.5, 0.25, 0.25),
        real_share=0.4,
        licence="in house",
    )
    assert str(tmp_path) not in plan.command
    words = plan.command.split()
    assert words[:5] == ["condyle", "train", "hand_foot_scoring", "--seed", "3"]
    (tmp_path / "Site X").mkdir()
    again = plan.command.replace("'Site X'", str(tmp_path / "Site_X")).replace("'in house'", "in-house").split()[3:]
    (tmp_path / "Site_X").mkdir()
    options = train.parser().parse_args([*again, "--output", str(tmp_path / "out")])
    found = Plan.model_validate(vars(options))
    assert found == plan.model_copy(update={"data": tmp_path / "Site_X", "licence": "in-house"})


def test_parts_are_made_in_the_order_in_which_they_need_one_another() -> None:
    assert made(("calibration", "shape")) == ("shape", "calibration")
    assert made(None) == ("shape", "localiser", "damage", "calibration")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ({"data": "X"}, "--data and --layout must be given together"),
        ({"sets": (0.5, 0.1, 0.1)}, "--sets must add up to 1, not 0.7"),
        ({"real_share": 1.5}, "less than or equal to 1"),
        ({"device": "gpu"}, "should be auto, cpu, cuda or cuda:N"),
        ({"only": ("head",)}, "Input should be 'shape', 'localiser', 'damage' or 'calibration'"),
        ({"stepps": 3}, "Extra inputs are not permitted"),
    ],
)
def test_values_that_do_not_fit_are_refused(values: dict[str, object], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        Plan.model_validate({"output": "x", **values})
