"""Pipelines by their names."""

from __future__ import annotations

import subprocess
import sys

import pytest

from pipelines.registry import UnknownPipeline, names, pipeline_type

SHIPPED = ("hand_foot_scoring", "joint_classification", "knee_oa_risk", "knee_super_resolution")


def test_the_shipped_pipelines_are_there_in_the_order_of_the_alphabet() -> None:
    assert set(SHIPPED) <= set(names())
    assert list(names()) == sorted(names())


@pytest.mark.parametrize("name", SHIPPED)
def test_a_pipeline_is_called_by_its_own_name(name: str) -> None:
    assert pipeline_type(name).name == name


def test_an_unknown_name_is_answered_with_those_there_are() -> None:
    with pytest.raises(UnknownPipeline, match=r"no pipeline is called 'knee'; installed: .*knee_oa_risk"):
        pipeline_type("knee")


def test_only_the_pipeline_that_is_asked_for_is_imported() -> None:
    code = (
        "import sys; from pipelines.registry import names, pipeline_type; names(); "
        "print('pipelines.knee_oa_risk' in sys.modules); pipeline_type('knee_oa_risk'); "
        "print('pipelines.knee_oa_risk' in sys.modules, 'pipelines.knee_super_resolution' in sys.modules)"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=60)
    assert done.stdout.split() == ["False", "True", "False"]
