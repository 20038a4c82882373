"""Picture files of every kind that may hold a film."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pydicom
import pytest
import SimpleITK
from PIL import Image as Pillow

from pipelines.hand_foot_scoring.training.data.film_files import UnreadableData, films_in, grey

PICTURE = np.arange(12, dtype=np.uint16).reshape(3, 4) * 1000


def test_a_picture_of_16_bits_keeps_its_grey_values(tmp_path: Path) -> None:
    Pillow.fromarray(PICTURE).save(tmp_path / "a.png")
    assert np.array_equal(grey(tmp_path / "a.png"), PICTURE)


def test_a_metaimage_of_one_slice_is_a_picture_and_a_volume_is_none(tmp_path: Path) -> None:
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(PICTURE[None]), str(tmp_path / "a.mha"))
    assert np.array_equal(grey(tmp_path / "a.mha"), PICTURE)
    SimpleITK.WriteImage(SimpleITK.GetImageFromArray(np.stack([PICTURE] * 3)), str(tmp_path / "b.mha"))
    with pytest.raises(UnreadableData, match=r"b\.mha: is no picture that can be read \(it has 3 dimensions\)"):
        grey(tmp_path / "b.mha")


def test_a_missing_file_and_a_damaged_one_are_named(tmp_path: Path) -> None:
    with pytest.raises(UnreadableData, match=r"gone\.png: there is no such file"):
        grey(tmp_path / "gone.png")
    (tmp_path / "bad.png").write_bytes(b"no picture")
    with pytest.raises(UnreadableData, match=r"bad\.png: is no picture that can be read"):
        grey(tmp_path / "bad.png")
    (tmp_path / "bad.dcm").write_bytes(b"\0" * 128 + b"DICM")
    with pytest.raises(UnreadableData, match=r"bad\.dcm: is no picture"):
        grey(tmp_path / "bad.dcm")


@pytest.mark.parametrize("value", [np.nan, np.inf])
def test_a_picture_with_values_that_are_no_numbers_is_none(tmp_path: Path, value: float) -> None:
    picture = PICTURE.astype(np.float32)
    picture[1, 2] = value
    Pillow.fromarray(picture).save(tmp_path / "a.tif")
    with pytest.raises(UnreadableData, match=r"a\.tif: is no picture that can be read \(it holds values that are no n"):
        grey(tmp_path / "a.tif")


def test_a_dicom_film_that_is_stored_inverted_is_turned(shared_data: Path) -> None:
    path = shared_data / "xray" / "extremity-nema-wg04-rg3" / "RG3_JLSN"
    stored = pydicom.dcmread(path)
    assert stored.PhotometricInterpretation == "MONOCHROME1"
    film = grey(path)
    assert film.shape == (1760, 1760)
    assert np.ptp(film + stored.pixel_array) == 0


def test_films_are_looked_for_below_a_folder_and_tables_are_none(tmp_path: Path) -> None:
    (tmp_path / "study").mkdir()
    for name in ("b.PNG", "films.csv", "study/1", "study/2.dcm", ".hidden.png", "notes"):
        (tmp_path / name).write_bytes(b"\0" * 128 + b"DICM" if name == "study/1" else b"")
    assert [path.name for path in films_in(tmp_path)] == ["b.PNG", "1", "2.dcm"]


def test_a_dicom_film_without_preamble_is_found_by_what_it_begins_with(tmp_path: Path) -> None:
    ds = pydicom.Dataset()
    ds.SOPClassUID, ds.SOPInstanceUID, ds.Modality = "1.2.840.10008.5.1.4.1.1.1", "1.2.3", "CR"
    ds.Rows, ds.Columns, ds.BitsAllocated, ds.BitsStored, ds.HighBit = 3, 4, 16, 16, 15
    ds.SamplesPerPixel, ds.PhotometricInterpretation, ds.PixelRepresentation = 1, "MONOCHROME2", 0
    ds.PixelData = PICTURE.tobytes()
    pydicom.dcmwrite(tmp_path / "bare", ds, implicit_vr=True, little_endian=True)
    pydicom.dcmwrite(tmp_path / "CR.1", ds, implicit_vr=False, little_endian=False)
    (tmp_path / "text.json").write_bytes(b'{"a": 1}')
    (tmp_path / "noise").write_bytes(b"\x08\0" + bytes(range(256)))
    assert [path.name for path in films_in(tmp_path)] == ["CR.1", "bare"]
    assert np.array_equal(grey(tmp_path / "bare"), PICTURE)


def test_a_real_film_without_preamble_is_found(shared_data: Path) -> None:
    folder = shared_data / "xray" / "other-body-part"
    assert "CR-MONO1-10-chest" in [path.name for path in films_in(folder)]
