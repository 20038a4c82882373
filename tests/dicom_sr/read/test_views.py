"""Headers name views in several elements, languages and spellings, and often several views at once."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydicom.dataset import Dataset

from dicom_sr.read.views import view_named


def header(**texts: str) -> Dataset:
    ds = Dataset()
    for keyword, text in texts.items():
        setattr(ds, keyword, text)
    return ds


def coded(*meanings: str) -> Dataset:
    """A header whose view is coded; meanings after the first are its modifiers."""
    items = [header(CodeMeaning=meaning) for meaning in meanings]
    items[0].ViewModifierCodeSequence = items[1:]
    ds = Dataset()
    ds.ViewCodeSequence = items[:1]
    return ds


@pytest.mark.filterwarnings("ignore:Invalid value for VR")
@pytest.mark.parametrize(
    ("position", "view"),
    [
        ("AP", "frontal"),
        ("PA", "frontal"),
        ("DP", "frontal"),
        ("LATERAL", "lateral"),
        ("LAT", "lateral"),
        ("LL", "lateral"),
        ("RL", "lateral"),
        ("ML", "lateral"),
        ("LM", "lateral"),
        ("RLD", None),  # decubitus: how the patient lies, not from where the beam comes
        ("LLD", None),
        ("OBL", "oblique"),
        ("OBLIQUE", "oblique"),
        ("PA OBLIQUE", "oblique"),
        ("RLO", "oblique"),
        ("LAO", "oblique"),
        ("SCHRÄG", "oblique"),
        ("AP/LAT", None),
        ("", None),
        ("L", None),
        ("NONE", None),
        ("HAND", None),
        ("T3", None),
    ],
)
def test_the_position_of_an_image_names_its_view(position: str, view: str | None) -> None:
    assert view_named(header(ViewPosition=position)) == view


@pytest.mark.parametrize(
    ("text", "view"),
    [
        ("Hand lateral", "lateral"),
        ("HAND_LAT_R", "lateral"),
        ("Hand links seitlich", "lateral"),
        ("Fuß seitl.", "lateral"),
        ("Main profil", "lateral"),
        ("Mano perfil", "lateral"),
        ("Voet lateraal", "lateral"),
        ("FOOT OBLIQUE", "oblique"),
        ("FOOT MEDIAL OBLIQUE", "oblique"),
        ("Hand schräg", "oblique"),
        ("mano oblicua", "oblique"),
        ("piede obliquo", "oblique"),
        ("Hände Nørgaard", "oblique"),
        ("HAND PA", "frontal"),
        ("Hand d.p.", "frontal"),
        ("Fuß dorsoplantar", "frontal"),
        # several views, or none that is plain
        ("Hand pa/lat", None),
        ("Hand d.p. / schräg", None),
        ("Hand a. p., seitl.", None),
        ("FOOT 3 VIEWS OBLIQUE", None),
        ("HAND WITH OBLIQUE", None),
        ("Hand + schräg", None),
        ("Hand 2 Ebenen seitlich", None),
        ("HAND MIN 3V LAT", None),
        ("HAND LAT 2V", None),
        ("FOOT 3VW OBL", None),
        ("HAND R 3-VIEW OBLIQUE", None),
        ("Hand 2E seitl.", None),
        ("HAND THREE VIEW LAT", None),
        ("HAND OBL/LAT", None),
        ("Hand schräg, seitlich", None),
        ("HANDS BILATERAL", None),
        ("HANDS BI-LATERAL", None),
        ("HAND UNI LAT", None),
        ("LAT DECUB", None),
        ("Decubitus lateral", None),
        ("HAND LAT: R", None),
        ("HAND LATERALITY LEFT", None),
        ("FOOT LATERAL SIDE", None),
        # one view, with numbers, sides and letters that tell of something else
        ("HAND LATERAL VIEW", "lateral"),
        ("FINGER 2 LAT L", "lateral"),
        ("Hand D2 seitlich", "lateral"),
        ("FOOT LAT WB", "lateral"),
        ("Fuss schräg rechts", "oblique"),
        ("LATERAL OBLIQUE HAND", "oblique"),
        ("HAND PA L", "frontal"),
        ("Main face", "frontal"),
        ("Hand li. d.p.", "frontal"),
        ("Profil 3", None),
        ("Hand", None),
        ("20 ML", None),
    ],
)
def test_the_words_of_a_series_name_a_view_or_leave_it_open(text: str, view: str | None) -> None:
    assert view_named(header(SeriesDescription=text)) == view
    assert view_named(header(ProtocolName=text)) == view


@pytest.mark.parametrize(
    ("meanings", "view"),
    [
        (("postero-anterior",), "frontal"),
        (("lateral",), "lateral"),
        (("medio-lateral",), "lateral"),
        (("postero-anterior oblique",), "oblique"),
        (("left anterior oblique",), "oblique"),
        (("postero-anterior", "Oblique"), "oblique"),
        (("tangential",), None),
        (("",), None),
    ],
)
def test_a_coded_view_counts_with_its_modifiers(meanings: tuple[str, ...], view: str | None) -> None:
    assert view_named(coded(*meanings)) == view


def test_what_is_said_of_the_image_goes_before_what_is_said_of_the_series() -> None:
    assert view_named(header(ViewPosition="LAT", SeriesDescription="HAND PA")) == "lateral"
    assert view_named(header(ViewPosition="PA", SeriesDescription="HAND LAT")) == "frontal"
    device = "AcquisitionDeviceProcessingDescription"
    assert view_named(header(SeriesDescription="HAND PA", **{device: "HAND,OBL"})) == "oblique"


def test_series_and_protocol_that_disagree_name_no_view() -> None:
    assert view_named(header(SeriesDescription="Hand pa", ProtocolName="Hand lateral")) is None
    assert view_named(header(SeriesDescription="Hand lateral", ProtocolName="Hand oblique")) is None
    assert view_named(header(SeriesDescription="Hand lateral", ProtocolName="HAND 3 VIEWS")) is None


@given(st.text(max_size=60))
def test_whatever_is_written_nothing_fails(text: str) -> None:
    for keyword in ("SeriesDescription", "ViewPosition"):
        ds = Dataset()
        ds.add_new(keyword, "LO", text)
        assert view_named(ds) in (None, "frontal", "lateral", "oblique")
