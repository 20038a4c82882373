"""Frames as the network sees them: where the field lies, what is filled in, and which frames of a cine are read."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pydicom
import pytest

from dicom_sr.errors import UnsuitableInput
from dicom_sr.series import Instance, read_studies
from node.demo.samples import write_cine
from pipelines.joint_classification import ultrasound
from pipelines.joint_classification.geometry import HEIGHT, SIZE_2D, WIDTH
from pipelines.joint_classification.simulation.screen import Shown, cine, show
from pipelines.joint_classification.ultrasound import Field, fields, read_clip, sample


@pytest.fixture(scope="module")
def sweep() -> tuple[np.ndarray, np.ndarray]:
    return cine(np.random.default_rng(3), "psa", 0.8, 4)


def stored(path: Path, shown: list[Shown], calibrated: bool = True) -> Instance:
    write_cine(path, np.stack([s.pixels for s in shown]), shown[0].box, shown[0].pixel_mm)
    if not calibrated:
        ds = pydicom.dcmread(path)
        del ds.SequenceOfUltrasoundRegions
        ds.save_as(path)
    return read_studies([path])[0].instances[0]


@pytest.mark.parametrize(("pixel_mm", "size"), [(0.07, (360, 440)), (0.045, (600, 800))])
def test_a_picture_on_a_screen_is_read_back_as_it_was(
    tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray], pixel_mm: float, size: Any
) -> None:
    shown = show(sweep[0][0], size=size, pixel_mm=pixel_mm)
    clip = read_clip(stored(tmp_path / "us.dcm", [shown]))
    found = fields(clip.frames[0])
    assert [field.mirrored for field in found] == [False, True]
    image = sample(clip.frames[0], found[0])
    assert image.shape == (HEIGHT, WIDTH)
    shifts = range(-10, 11)  # the skin is put at one depth, so that the rows may be shifted
    inner = image[12:-12, 4:-4]
    best = max(np.corrcoef(inner.ravel(), sweep[0][0][12 + s : HEIGHT - 12 + s, 4:-4].ravel())[0, 1] for s in shifts)
    assert best > 0.95
    np.testing.assert_array_equal(sample(clip.frames[0], found[1]), image[:, ::-1])


def test_what_is_written_beside_the_picture_changes_no_pixel_of_the_field(
    tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]
) -> None:
    plain = show(sweep[0][0], text=(), rulers=False)
    written = show(sweep[0][0], text=("DOE JANE 1961", "psoriatic arthritis", "RA RA RA", "healthy", "MCP2", "L"))
    images = []
    for name, shown in (("plain.dcm", plain), ("written.dcm", written)):
        frame = read_clip(stored(tmp_path / name, [shown])).frames[0]
        images.append(sample(frame, fields(frame)[0]))
    np.testing.assert_array_equal(images[0], images[1])


def test_doppler_is_filled_in_from_around(tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]) -> None:
    # the same sweep with a blob of flow where the soft tissue is
    flow = np.zeros_like(sweep[1][0])
    flow[30:36, 60:70] = 1.0
    images = []
    for name, shown in (("plain.dcm", show(sweep[0][0])), ("flow.dcm", show(sweep[0][0], flow))):
        clip = read_clip(stored(tmp_path / name, [shown]))
        assert clip.colour is (name == "flow.dcm")
        images.append(sample(clip.frames[0], Field(shown.box[1], shown.box[0], (shown.pixel_mm,) * 2)))
    plain, filled = (image[28:38, 58:72] for image in images)
    assert abs(plain.mean() - filled.mean()) < 0.06  # orange would be 0.2 brighter than this tissue, black 0.5 darker
    assert np.abs(images[0] - images[1]).mean() < 0.01  # nothing else changed but a thin frame round the colour


def test_a_map_painted_on_the_frame_lies_where_the_field_was_sampled(
    tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]
) -> None:
    shown = show(sweep[0][0])
    frame = read_clip(stored(tmp_path / "us.dcm", [shown])).frames[0]
    assert SIZE_2D[0] == ultrasound.SEEN_ROWS
    for field in fields(frame):
        seen = sample(frame, field)
        seen[SIZE_2D[0] :] = 0  # what the network does not look at has no heat
        painted = field.paint(seen, shown.pixels.shape[:2])
        top = max(0, int(field.top) + 40)
        part = (slice(top, int(field.top + 90 * field.step[0])), slice(shown.box[0] + 10, shown.box[2] - 10))
        assert np.corrcoef(painted[part].ravel(), frame.screen.grey[part].ravel())[0, 1] > 0.9
        outline = field.outline(shown.pixels.shape[:2])
        outside = np.ones(shown.pixels.shape[:2], bool)
        (left, high), (right, low) = outline.min(0), outline.max(0)
        outside[int(high) : int(low) + 3, int(left) : int(right) + 1] = False
        assert not painted[outside].any()


def test_a_cine_gives_sharp_frames_spread_over_its_time(tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]) -> None:
    pictures, _ = cine(np.random.default_rng(1), "healthy", 0.0, 36)
    shown = [show(p, size=(240, 320), pixel_mm=0.1) for p in pictures]
    blank = Shown(np.full_like(shown[0].pixels, 9), shown[0].box, shown[0].pixel_mm)  # the probe was lifted
    for number in (*range(6), 20):
        shown[number] = blank
    clip = read_clip(stored(tmp_path / "us.dcm", shown))
    numbers = [frame.reference.frame_number for frame in clip.frames]
    assert clip.total == 36
    assert None not in numbers
    assert numbers == sorted(number for number in numbers if number is not None)
    assert 8 <= len(numbers) <= ultrasound.FRAMES
    assert not {1, 2, 3, 4, 5, 6, 21} & set(numbers)
    assert max(np.diff(np.array(numbers, int))) <= 6


def test_a_picture_without_a_scale_is_refused_unless_its_width_is_given(
    tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]
) -> None:
    shown = show(sweep[0][0])
    instance = stored(tmp_path / "us.dcm", [shown], calibrated=False)
    with pytest.raises(UnsuitableInput, match="how large a pixel is"):
        read_clip(instance)
    clip = read_clip(instance, width_mm=25.6)
    assert clip.scale_assumed
    assert clip.pixel_mm[1] == pytest.approx(shown.pixel_mm, rel=0.03)


@pytest.mark.parametrize("pixel_mm", [0.3, 0.02])
def test_a_picture_too_wide_or_too_narrow_for_a_finger_probe_is_refused(
    tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray], pixel_mm: float
) -> None:
    shown = show(sweep[0][0])
    wrong = Shown(shown.pixels, shown.box, pixel_mm)
    with pytest.raises(UnsuitableInput, match="mm wide"):
        read_clip(stored(tmp_path / "us.dcm", [wrong]))


def test_a_wide_picture_has_several_windows_that_reach_both_edges(
    tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]
) -> None:
    wide = np.hstack([sweep[0][0], sweep[0][1][:, :80]])  # 38 mm
    shown = show(wide, size=(480, 800))
    frame = read_clip(stored(tmp_path / "us.dcm", [shown])).frames[0]
    found = [field for field in fields(frame) if not field.mirrored]
    assert len(found) == 6  # 12.8 mm of room, at most 3 mm apart
    assert found[0].left == pytest.approx(shown.box[0], abs=4)
    assert found[-1].left + WIDTH * found[-1].step[1] == pytest.approx(shown.box[2] + 1, abs=4)


def test_of_two_pictures_side_by_side_the_one_without_colour_is_read(
    tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]
) -> None:
    flow = np.zeros_like(sweep[1][0])
    flow[25:45, 40:90] = 1.0
    coloured, plain = show(sweep[0][0], flow, (480, 480)), show(sweep[0][0], None, (480, 480))
    both = Shown(np.hstack([coloured.pixels, plain.pixels]), (0, 52, 959, 479), coloured.pixel_mm)
    clip = read_clip(stored(tmp_path / "us.dcm", [both]))
    assert clip.panels == 2
    assert clip.frames[0].panel.box[0] > 480


def test_a_field_under_too_much_colour_is_not_read(tmp_path: Path, sweep: tuple[np.ndarray, np.ndarray]) -> None:
    frame = read_clip(stored(tmp_path / "us.dcm", [show(sweep[0][0])])).frames[0]
    frame.screen.hidden[:, 100:400] = True
    with pytest.raises(UnsuitableInput, match="is no echo"):
        sample(frame, fields(frame)[0])
