"""A job is the same in another process; what happens there is tested with the command, in `tests/node/commands`."""

from __future__ import annotations

import pickle
from pathlib import Path

import numpy as np
from PIL import Image

from dicom_sr import phantoms
from node.local.apart import JobFiles
from node.local.inputs import Level, jobs_of, read_inputs
from tests.factories import knee_study


def test_a_job_is_the_same_after_its_way_to_another_process(tmp_path: Path) -> None:
    header = phantoms.study_header(phantoms.Person("SIM-2"), "two series", "TWO")
    for number in (1, 2):
        phantoms.write_knee_mr(tmp_path / "in" / str(number), header, (4, 12, 10), number=number)
    knee_study(tmp_path / "in" / "other")
    Image.fromarray(np.zeros((9, 9), np.uint8)).save(tmp_path / "in" / "hand.png")
    inputs = read_inputs([tmp_path / "in"], tmp_path, lambda path, reason: None, as_modality="DX")
    levels: tuple[Level, ...] = ("series", "study")
    for level in levels:
        jobs = jobs_of(inputs, "p", level, lambda path, reason: None)
        assert len(jobs) == (4 if level == "series" else 3)
        for job in jobs:
            assert job.study.series[0].headers  # read before, as the search for images does
            assert pickle.loads(pickle.dumps(JobFiles.of(job))).job() == job
