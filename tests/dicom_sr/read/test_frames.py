from __future__ import annotations

from pathlib import Path

from dicom_sr.read.frames import frame_header, number_of_frames
from tests.factories import enhanced_mr, knee_study


def test_a_classic_header_is_its_own_frame(tmp_path: Path) -> None:
    header = knee_study(tmp_path).series[0].headers[0]
    assert frame_header(header, 1) is header
    assert number_of_frames(header) == 1


def test_a_frame_has_its_own_and_the_shared_attributes_in_classic_words(tmp_path: Path) -> None:
    series, _ = enhanced_mr(tmp_path, echo_times_ms=(10.0, 30.25))
    header = series.headers[0]
    assert number_of_frames(header) == 10
    frame = frame_header(header, 2)  # last position, second echo
    assert [float(v) for v in frame.ImagePositionPatient] == [10, 20, 42]
    assert (frame.EchoTime, frame.RepetitionTime, frame.FlipAngle) == (30.25, 2000, 90)
    assert [float(v) for v in frame.PixelSpacing] == [0.5, 0.75]
    assert (frame.ScanningSequence, frame.AcquisitionDate, frame.AcquisitionTime) == ("SE", "20261120", "093000")
    assert "PerFrameFunctionalGroupsSequence" not in frame
    assert "EchoTime" not in header  # the source is unchanged
