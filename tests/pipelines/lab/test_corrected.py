from __future__ import annotations

from pathlib import Path

import pydicom

from pipelines.lab.corrected import has_writing
from tests.factories import radiograph_study


def test_an_image_has_writing_where_its_header_says_so_or_says_nothing_that_can_be_read(tmp_path: Path) -> None:
    path = radiograph_study(tmp_path).instances[0].path
    assert not has_writing(path)
    ds = pydicom.dcmread(path)
    ds.BurnedInAnnotation = "YES"
    ds.save_as(path)
    assert has_writing(path)
    path.write_bytes(b"no DICOM")
    assert has_writing(path)
