"""What CONTRIBUTING.md shows works as it stands there."""

from __future__ import annotations

import re
import textwrap
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pydicom

from dicom_sr.series import read_studies
from dicom_sr.write.encode import EncodingProfile, encode
from node.demo import samples

DOCUMENT = Path(__file__).resolve().parents[1] / "CONTRIBUTING.md"


def test_the_example_pipeline_runs_and_its_result_becomes_dicom(tmp_path: Path) -> None:
    (block,) = re.findall(r"(?ms)^ *```python\n(.*?)^ *```", DOCUMENT.read_text(encoding="utf-8"))
    names: dict[str, Any] = {}
    exec(textwrap.dedent(block), names)
    pipeline = names["MeanSignal"](names["PipelineSettings"]())
    samples.write_knee_localizer(tmp_path)
    (study,) = read_studies(tmp_path.iterdir())
    pipeline.check(study)
    result = pipeline.run(study)
    expected = sum(pydicom.dcmread(file).pixel_array.mean() for file in tmp_path.iterdir()) / 3
    assert result.findings[0].measurements[0].value == expected
    objects = encode(result, EncodingProfile(), datetime(2026, 11, 22, tzinfo=UTC), tmp_path / "objects")
    assert {made.kind for made in objects} >= {"report", "secondary_capture"}
