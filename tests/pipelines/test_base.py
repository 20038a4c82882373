"""Settings of a pipeline, and what a pipeline says of itself."""

from __future__ import annotations

import hashlib
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from pipelines.base import PipelineSettings, answers_from_record, own_scale, takes_and_makes, wants_prior_report
from pipelines.registry import names, pipeline_type


class Smooth(PipelineSettings):
    """Settings of a pipeline in a test."""

    width_mm: float = 2.0
    heatmaps: bool = True


def test_settings_of_the_same_kind_are_taken_as_they_are_and_others_are_validated() -> None:
    mine = Smooth(width_mm=3.0)
    assert Smooth.of(mine) is mine
    assert Smooth.of(PipelineSettings()) == Smooth()

    class Other(PipelineSettings):
        colour: str = "red"

    with pytest.raises(ValidationError, match="colour"):
        Smooth.of(Other())


def test_the_digest_is_of_the_settings_and_of_the_files_they_name() -> None:
    text = '{"width_mm":2.0,"heatmaps":true}'
    assert Smooth().digest() == hashlib.sha256(text.encode()).hexdigest()
    assert Smooth().digest("more") == hashlib.sha256((text + "more").encode()).hexdigest()


def test_settings_are_listed_in_words_for_a_report() -> None:
    assert Smooth().as_parameters() == (("width_mm", "2.0"), ("heatmaps", "True"))


def test_an_unknown_setting_is_refused() -> None:
    wrong: dict[str, Any] = {"widht_mm": 1.0}
    with pytest.raises(ValidationError, match="widht_mm"):
        Smooth(**wrong)


def test_hands_and_feet_want_the_last_report_and_the_knee_risk_answers_from_the_record() -> None:
    assert [name for name in names() if wants_prior_report(pipeline_type(name))] == ["hand_foot_scoring"]
    assert [name for name in names() if answers_from_record(pipeline_type(name))] == ["knee_oa_risk"]


def test_coordinates_in_the_space_of_a_model_are_on_its_own_scale() -> None:
    assert {name: len(own_scale(pipeline_type(name))) for name in names() if own_scale(pipeline_type(name))} == {
        "joint_classification": 3
    }


def test_the_readme_says_of_each_pipeline_what_it_says_of_itself() -> None:
    readme = (Path(__file__).resolve().parents[2] / "README.md").read_text(encoding="utf-8")
    for name in ("hand_foot_scoring", "joint_classification", "knee_oa_risk", "knee_super_resolution"):
        takes, makes = takes_and_makes(pipeline_type(name))
        assert f"| `{name}` | {takes} | {makes} |" in readme


def test_a_pipeline_that_does_not_say_what_it_makes_is_known_by_its_title() -> None:
    class Silent:
        title = "Silent"

    assert takes_and_makes(Silent) == ("", "Silent")  # type: ignore[arg-type]
