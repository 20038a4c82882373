from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from dicom_sr.findings import Flag, ImageReference
from tests.dicom_sr.conftest import Encode
from tests.factories import knee_result, knee_study


def test_flagged_images_are_selected_with_their_reasons(tmp_path: Path, encoded: Encode) -> None:
    study = knee_study(tmp_path / "in")
    second, third = (ImageReference(study.instances[n].sop_instance_uid) for n in (1, 2))
    flags = (Flag(third, "Highest uncertainty."), Flag(second, "Bright spot."), Flag(second, "Bright spot."))
    (ds,) = encoded(replace(knee_result(study), flags=flags), "key_objects")["key_objects"]
    assert (ds.Modality, ds.ConceptNameCodeSequence[0].CodeValue) == ("KO", "113000")
    images = [i.ReferencedSOPSequence[0].ReferencedSOPInstanceUID for i in ds.ContentSequence if i.ValueType == "IMAGE"]
    assert images[:2] == [third.sop_instance_uid, second.sop_instance_uid]
    (text,) = (i.TextValue for i in ds.ContentSequence if i.ValueType == "TEXT")
    assert text == "Highest uncertainty. Bright spot."
    (study_item,) = ds.CurrentRequestedProcedureEvidenceSequence
    evidence = [i.ReferencedSOPInstanceUID for i in study_item.ReferencedSeriesSequence[0].ReferencedSOPSequence]
    assert sorted(evidence) == sorted([second.sop_instance_uid, third.sop_instance_uid])


def test_nothing_flagged_is_nothing_selected(tmp_path: Path, encoded: Encode) -> None:
    assert encoded(knee_result(knee_study(tmp_path / "in")), "key_objects") == {}
