"""No identifier that somebody else made up leads out of the folder that it belongs in."""

from __future__ import annotations

import ast
import hashlib
import re
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import dataclass, replace
from io import BytesIO
from pathlib import Path
from struct import pack
from typing import Any

import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from pydicom.dataset import FileMetaDataset
from pydicom.filewriter import write_file_meta_info

from dicom_sr.profile import ObjectFile
from node.config.sections import FolderDestination
from node.files import file_name
from node.receive.importer import ImportReport, import_path
from node.receive.status import NotStored
from node.receive.store.store import Store
from node.send.delivery import Outcome
from node.send.folder_delivery import FolderDelivery
from tests.node.receive.harness import data_set, mr, put

HOSTILE = [
    "..",
    ".",
    "...",
    "",
    "/",
    "/etc/x",
    "../../x",
    "1.2/../../../x",
    "..\\x",
    "C:x",
    "1.2\0x",
    "1\n2",
    "\x1b[2J",
    "con",
    "NUL.1",
    "com1",
    ".hidden",
    "1.2.",
    "٣.١",
    "é",
    "e\u0301",
    "\u202e1.2",
    "~",
    "-rf",
    "1" * 300,
    "\udcff",
]
IDENTIFIER = re.compile(r"uid|ae_title|job_id|patient|identifier", re.I)
SAFE = re.compile(r"file_name\(|relative_path\(|_name\(|sha256|\b_key\(|\.key\(")  # the others are names of digests
ROOT = Path(__file__).parents[2]


@given(st.lists(st.text(), min_size=2, max_size=2, unique=True))
@example(["..", "."])
@example(["1.2", "1.2."])
@example(["", "_"])
def test_every_identifier_has_a_lawful_name_of_its_own(two: list[str]) -> None:
    names = [file_name(one) for one in two]
    assert names[0] != names[1]
    for name in names:
        assert re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9._-]*[A-Za-z0-9]|[A-Za-z0-9]", name), name
        assert len(name) <= 100
        assert file_name(name) == name or name.startswith("_")


def test_a_usual_identifier_is_its_own_name() -> None:
    for usual in ("1.2.840.10008.1", "2.25.1" + "7" * 58, "1..2", "1.02", hashlib.sha256(b"job").hexdigest(), "PACS-1"):
        assert file_name(usual) == usual


@pytest.mark.parametrize("hostile", HOSTILE, ids=ascii)
def test_a_folder_destination_writes_below_itself_only_and_each_object_once(hostile: str, tmp_path: Path) -> None:
    source, results = tmp_path / "source.dcm", tmp_path / "out" / "results"
    delivery = FolderDelivery("folder", FolderDestination(kind="folder", path=results))
    plain = ObjectFile("1.2", "1.1", "1.3", "1.4", source)
    items = [
        replace(plain, study_instance_uid=hostile),
        replace(plain, series_instance_uid=hostile),
        replace(plain, sop_instance_uid=hostile),
    ]
    source.write_bytes(b"object")
    before = set(tmp_path.rglob("*"))
    answers = [answer.outcome for _, answer in delivery.send(items)]
    assert answers == [Outcome.DELIVERED] * 3
    written = {path for path in tmp_path.rglob("*") if path not in before}
    assert written - {results.parent} == {results, *results.rglob("*")}
    assert sum(path.is_file() for path in written) == 3
    assert delivery.find(items) == {item.sop_instance_uid for item in items}


@dataclass(frozen=True)
class _Sent:
    """An instance with a hostile UID in one place, byte by byte as a device may send it."""

    SOPClassUID: str
    SOPInstanceUID: str
    file_meta: Any
    content: bytes

    @property
    def file(self) -> bytes:
        stream, meta = BytesIO(), FileMetaDataset()
        meta.TransferSyntaxUID = self.file_meta.TransferSyntaxUID
        write_file_meta_info(stream, meta, enforce_standard=False)  # type: ignore[arg-type]
        return b"\0" * 128 + b"DICM" + stream.getvalue() + self.content


def _hostile_instances() -> Iterator[_Sent]:
    ds = mr()
    for keyword in ("StudyInstanceUID", "SeriesInstanceUID", "SOPInstanceUID"):
        for hostile in HOSTILE:
            uid = str(ds[keyword].value).encode()
            value = hostile.encode("utf-8", "surrogateescape")
            was, becomes = (b"UI" + pack("<H", len(one)) + one for one in (_even(uid), _even(value)))
            content = data_set(ds).replace(was, becomes, 1)
            assert becomes in content
            own = hostile if keyword == "SOPInstanceUID" else str(ds.SOPInstanceUID)
            yield _Sent(str(ds.SOPClassUID), own, ds.file_meta, content)


def _even(value: bytes) -> bytes:
    return value + b"\0" * (len(value) % 2)


def test_whatever_uids_are_sent_or_imported_nothing_is_written_beside_the_data_folder(tmp_path: Path) -> None:
    data, files = tmp_path / "a" / "b" / "data", tmp_path / "a" / "in"
    files.mkdir(parents=True)
    for number, ds in enumerate(_hostile_instances()):
        (files / f"{number}.dcm").write_bytes(ds.file)
    before = set(tmp_path.rglob("*"))
    store, taken = Store(data, "process", 2**20, 2**30), 0
    for ds in _hostile_instances():
        with suppress(NotStored):
            put(store, ds, content=ds.content)
            taken += 1
    report = ImportReport()
    import_path(files, store, store.open("folder"), report)
    store.close()
    assert taken, "an odd UID that harms nobody is no reason to lose an image"
    assert report.stored
    assert report.refused, "what is no UID is named"
    outside = {path for path in tmp_path.rglob("*") if not path.is_relative_to(data)} - before
    assert outside == {data.parent}
    named = [path.name for path in (data / "instances").rglob("*.dcm")]
    assert all(re.fullmatch(r"[0-9a-f]{40}\.dcm", name) for name in named)
    assert not [path for path in data.rglob("*") if ".." in path.name or "etc" in path.name]


def test_every_place_where_the_code_makes_a_path_of_an_identifier_passes_the_one_function() -> None:
    found = []
    for module in sorted((ROOT / "node").rglob("*.py")):
        text = module.read_text()
        for one in ast.walk(ast.parse(text)):
            parts: list[ast.expr] = []
            if isinstance(one, ast.BinOp) and isinstance(one.op, ast.Div):
                parts = [one.right]
            elif isinstance(one, ast.Call) and getattr(one.func, "attr", "") in ("joinpath", "with_name"):
                parts = one.args
            for part in parts:
                said = ast.unparse(part)
                if isinstance(part, ast.Constant):  # a word of the code is no identifier
                    continue
                if IDENTIFIER.search(said) and not SAFE.search(said):
                    found.append(f"{module.relative_to(ROOT)}:{part.lineno}: {said}")
    assert found == []
