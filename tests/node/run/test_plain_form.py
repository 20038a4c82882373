from __future__ import annotations

import io
import json
import os
import pickle
from dataclasses import replace
from datetime import date
from pathlib import Path
from types import MappingProxyType
from typing import Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from pydicom.sr.codedict import codes

from dicom_sr.findings import Bar, Finding, Measurement, Volume
from dicom_sr.series import Instance, Series
from node.run.plain_form import MARK, NotPlain, NotRead, packed, unpacked
from pipelines import examples
from pipelines.context import ClinicalContext, CodedEvent

DATA = Path("/srv/condyle/data")
EVENT = CodedEvent("condition", "http://snomed.info/sct", "239873007", date(2020, 2, 29), display="Gonarthrose")
CONTEXT = ClinicalContext(date(2026, 1, 2), None, "F", (EVENT,), source="FHIR R4 bundle")


class Harmful:
    """What makes a file when it is unpickled."""

    def __init__(self, made: Path) -> None:
        self.made = made

    def __reduce__(self) -> Any:
        return os.mkdir, (str(self.made),)


@pytest.mark.parametrize("name", ["joint_classification", "knee_oa_risk"])  # others take seconds to be made
def test_the_example_of_a_pipeline_comes_back_whole(tmp_path: Path, name: str) -> None:
    result = examples.makers([name])[name](tmp_path).result
    content = packed(result, tmp_path)
    back = unpacked(content, tmp_path)
    assert type(back) is type(result)
    assert packed(back, tmp_path) == content
    assert str(tmp_path).encode() not in content


def test_a_record_comes_back_with_its_dates() -> None:
    assert unpacked(packed(CONTEXT, DATA), DATA) == CONTEXT


def test_an_array_that_is_used_twice_lies_there_once() -> None:
    volume = Volume(np.arange(24, dtype=np.float32).reshape(2, 3, 4), np.eye(4))
    content = packed((volume, replace(volume)), DATA)
    assert content.count(b"\x93NUMPY") == 2  # the array and the affine
    first, second = unpacked(content, DATA)
    assert first.array is second.array
    np.testing.assert_array_equal(first.array, volume.array)


@pytest.mark.parametrize("dtype", [np.bool_, np.uint8, np.int16, np.float16, np.float32, np.float64])
def test_arrays_keep_their_type_shape_and_values(dtype: type[np.generic]) -> None:
    array = np.arange(6).reshape(3, 2).T.astype(dtype)
    back = unpacked(packed(array, DATA), DATA)
    assert (back.dtype, back.shape) == (array.dtype, array.shape)
    np.testing.assert_array_equal(back, array)
    assert back.flags.writeable


def test_codes_mappings_and_single_numbers_of_an_array_keep_their_types() -> None:
    code = codes.SCT.Bone
    back_code, mapping, number, real = unpacked(
        packed((code, MappingProxyType({"calling_ae_title": "MR1"}), np.int16(-3), np.float64(0.1)), DATA), DATA
    )
    assert (back_code, back_code.meaning) == (code, code.meaning)
    assert mapping == {"calling_ae_title": "MR1"}
    assert (number, type(number)) == (-3, np.int16)
    assert (real, type(real)) == (0.1, float)


def test_a_path_below_the_data_folder_follows_it_when_it_is_moved() -> None:
    series = Series("1.2", "1.1", "MR", (Instance("1.3", "1.4", DATA / "instances" / "a" / "1.dcm"),))
    content = packed(series, DATA)
    assert b"/srv/condyle" not in content
    moved = unpacked(content, Path("/mnt/new"))
    assert moved.instances[0].path == Path("/mnt/new/instances/a/1.dcm")


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(max_size=8) | st.dates(),
    lambda inner: st.lists(inner).map(tuple) | st.lists(inner) | st.dictionaries(st.text(max_size=3), inner),
    max_leaves=8,
)


@settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.too_slow])  # no matter how fast it is
@given(VALUES)
def test_whatever_is_made_of_plain_values_comes_back_equal(value: object) -> None:
    assert unpacked(packed(value, DATA), DATA) == value


# ---- nothing else
@pytest.mark.parametrize("value", [object(), {1, 2}, b"bytes", 1j, np.array([object()]), Harmful(DATA)])
def test_what_has_no_plain_form_is_refused_when_it_is_written(value: object) -> None:
    with pytest.raises(NotPlain):
        packed(value, DATA)


def test_a_type_of_ones_own_is_refused_by_its_name() -> None:
    class Finding(Bar):
        pass

    with pytest.raises(NotPlain, match="a Finding cannot be kept in a result"):
        packed(Finding("a", 1.0), DATA)


def in_plain_form(text: object, blocks: bytes = b"") -> bytes:
    encoded = json.dumps(text).encode()
    return MARK + len(encoded).to_bytes(8, "little") + encoded + blocks


def harmful_block(made: Path) -> bytes:
    stream = io.BytesIO()
    np.lib.format.write_array(stream, np.array([Harmful(made)], dtype=object), allow_pickle=True)
    return stream.getvalue()


@pytest.mark.parametrize(
    "content",
    [
        b"",
        MARK,
        MARK + b"\xff" * 8,
        in_plain_form({"system": ["rm"]}),
        in_plain_form({"os.system": {"command": "true"}}),
        in_plain_form({"Finding": {"tracking_id": "a"}}),
        in_plain_form({"Finding": {"no_such_field": 1}}),
        in_plain_form({"array": 3}),
        in_plain_form({"date": "yesterday"}),
        in_plain_form({"Code": [1]}),
        in_plain_form({"a": 1, "b": 2}),
        in_plain_form(1, b"\x93NUMPY"),
    ],
)
def test_bytes_that_are_no_plain_form_are_said_to_be_none(content: bytes) -> None:
    with pytest.raises(NotRead):
        unpacked(content, DATA)


def test_nothing_that_is_read_is_executed(tmp_path: Path) -> None:
    made = tmp_path / "made"
    for content in (pickle.dumps(Harmful(made)), in_plain_form({"array": 0}, harmful_block(made))):
        with pytest.raises(NotRead):
            unpacked(content, DATA)
    assert not made.exists()


def test_a_result_of_an_older_version_gets_the_defaults_of_newer_fields() -> None:
    measurement = Measurement(codes.SCT.Length, 1.5, codes.UCUM.Millimeter)
    plain = packed(Finding("a", codes.SCT.Bone, measurements=(measurement,)), DATA)
    text = json.loads(plain[len(MARK) + 8 :])
    del text["Finding"]["image_label"]
    assert unpacked(in_plain_form(text), DATA) == Finding("a", codes.SCT.Bone, measurements=(measurement,))
