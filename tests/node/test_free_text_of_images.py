"""What stands in any header that is read never becomes a crash, a path, markup or a log line.

Whole files go through the real store, the receipts, the routes, the page and what the pipelines read before they run.
"""

from __future__ import annotations

import ast
import logging
import re
import struct
from collections.abc import Iterator
from functools import cache
from pathlib import Path

import httpx
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st
from pydicom.datadict import dictionary_VR, keyword_dict, tag_for_keyword
from pydicom.dataset import Dataset

from tests.in_process import InProcessNode, read_as_pipelines_do
from tests.node.receive.harness import data_set, mr, part10
from tests.properties import SECRET, STABLE, hostile
from tests.serving import client_of

pytestmark = pytest.mark.filterwarnings("ignore")  # odd values make pydicom warn

ROOT = Path(__file__).parents[2]
READERS = ("node/receive", "node/route", "node/study", "node/run", "node/prior", "dicom_sr", "pipelines")
NOT_ON_THE_NODE = {"training", "evaluation", "simulation"}
LONG = {"OB", "OD", "OF", "OL", "OV", "OW", "SQ", "SV", "UC", "UN", "UR", "UT", "UV"}  # PS3.5 7.1.2


@cache
def keywords_read() -> tuple[str, ...]:
    """Every DICOM keyword that the node's code names: a text or an attribute of that name."""
    named: set[str] = set()
    for folder in READERS:
        for path in (ROOT / folder).rglob("*.py"):
            if NOT_ON_THE_NODE.isdisjoint(path.parts):
                for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
                    if isinstance(node, ast.Constant) and isinstance(node.value, str):
                        named.add(node.value)
                    elif isinstance(node, ast.Attribute):
                        named.add(node.attr)
    pixels = {"PixelData", "FloatPixelData", "DoubleFloatPixelData"}
    return tuple(sorted(named & set(keyword_dict) - pixels))


def dictionary_vr(keyword: str) -> str:
    return dictionary_VR(keyword).split(" ")[0]


KEYWORDS = keywords_read()
ASKABLE = [key for key in KEYWORDS if dictionary_vr(key) not in LONG and (tag_for_keyword(key) or 0) > 0x00080000]
ASKED = tuple(ASKABLE[::5])  # routes read all keys alike, and each makes every decision longer


def test_the_headers_are_those_that_the_code_names() -> None:
    assert len(KEYWORDS) > 200
    for keyword in ("PatientName", "BodyPartExamined", "RescaleSlope", "EchoTime", "ImageOrientationPatient"):
        assert keyword in KEYWORDS


@pytest.fixture(scope="module")
def node(tmp_path_factory: pytest.TempPathFactory) -> Iterator[InProcessNode]:
    node = InProcessNode(tmp_path_factory.mktemp("images"), ASKED)
    yield node
    node.close()


@pytest.fixture(scope="module")
def client(node: InProcessNode) -> Iterator[httpx.Client]:
    with client_of(node.app(), accept="text/html") as client:
        yield client


texts = st.one_of(
    hostile.map(lambda text: text.encode()),
    st.text(max_size=40).map(lambda text: (text + SECRET).encode("utf-8", "replace")),
    st.binary(max_size=40),
    st.sampled_from([b"", b"\\", b"\\\\\\", b"1\\2", b"1,25", b"3mm", b"nan", b"-1e400", b"9" * 70, b"0"]),
    st.sampled_from([b"19000231", b"ISO 2022 IR 87", b"\xff" * 8]),
)


def element(keyword: str, value: bytes, vr: str) -> bytes:
    """An element in Explicit VR Little Endian, whatever its value is worth."""
    tag = tag_for_keyword(keyword) or 0
    value += b"\0" * (len(value) % 2)
    head = struct.pack("<HH2s", tag >> 16, tag & 0xFFFF, vr.encode())
    return head + (struct.pack("<HI", 0, len(value)) if vr in LONG else struct.pack("<H", len(value))) + value


def file_of(changes: dict[str, tuple[bytes, str]], uids: tuple[str, str, str]) -> bytes:
    """A part 10 file of a small MR image with other values in its header."""
    ds = mr(study=uids[0], series=uids[1])
    ds.SOPInstanceUID = uids[2]
    prefix = part10(ds)[: -len(data_set(ds))]
    elements: dict[int, bytes] = {}
    for one in ds:
        single = Dataset()
        single.file_meta = ds.file_meta
        single[one.tag] = one
        elements[int(one.tag)] = data_set(single)
    for keyword, (value, vr) in changes.items():
        elements[int(tag_for_keyword(keyword) or 0)] = element(keyword, value, vr)
    return prefix + b"".join(elements[tag] for tag in sorted(elements))


@st.composite
def changed_headers(draw: st.DrawFn) -> dict[str, tuple[bytes, str]]:
    """Values for a few headers, most of the VR that the dictionary gives them."""
    keywords = draw(st.lists(st.sampled_from(KEYWORDS), min_size=1, max_size=6, unique=True))
    vrs = st.sampled_from(["LO", "UT", "SQ", "US", "PN", "UI", "DS"])
    return {
        keyword: (draw(texts), draw(st.one_of(st.just(dictionary_vr(keyword)), vrs)) if draw(st.booleans()) else "LO")
        for keyword in keywords
    }


def everything(*keywords: str, text: str = f"<zq7 a=b>{SECRET}/../../x\n{SECRET}") -> dict[str, tuple[bytes, str]]:
    return {keyword: (text.encode(), "LO") for keyword in keywords}


@settings(STABLE, max_examples=STABLE.max_examples // 3)  # each is stored, decided about and shown
@given(changes=changed_headers(), number=st.integers(1, 10**9))
@example(changes=everything("PatientName", "PatientID", "PatientBirthDate", "IssuerOfPatientID"), number=1)
@example(changes=everything("SeriesDescription", "StudyDescription", "BodyPartExamined", "ProtocolName"), number=2)
@example(changes=everything("StudyDate", "Manufacturer", "ImageType", "SpecificCharacterSet"), number=3)
@example(changes=everything("StudyInstanceUID"), number=4)
@example(changes=everything("SOPInstanceUID", "SOPClassUID", "SeriesInstanceUID", "Modality"), number=5)
def test_no_header_becomes_a_crash_a_path_markup_or_a_log_line(
    node: InProcessNode,
    client: httpx.Client,
    caplog: pytest.LogCaptureFixture,
    changes: dict[str, tuple[bytes, str]],
    number: int,
) -> None:
    caplog.set_level(logging.DEBUG)
    folder = node.data.parent
    file = folder / "sent.dcm"
    file.write_bytes(file_of(changes, (f"1.2.{number}.{len(changes)}", f"1.3.{number}", f"1.4.{number}")))
    before = {instance for _, instance in node.stored()}
    report = node.take([file])
    assert report.stored + len(report.not_taken) == 1, "stored, or refused with a reason"
    node.decide()
    assert node.undecided() == []
    elements = node.page(client, "/")
    for study, instance in node.stored():
        if instance not in before:
            elements += node.page(client, f"/studies/{study}")
            read_as_pipelines_do(instance)
    assert "zq7" not in elements
    assert "onload" not in elements
    for record in caplog.records:
        if not record.name.startswith(("httpcore", "httpx", "uvicorn", "pydicom", "py.warnings", "asyncio")):
            assert SECRET not in f"{record.getMessage()} {vars(record)}"
    names = {path.name for path in folder.rglob("*")}
    assert not any(SECRET in name or not re.fullmatch(r"[A-Za-z0-9._-]+", name) for name in names)
    caplog.clear()
