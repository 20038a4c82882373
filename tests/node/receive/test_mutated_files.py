"""Real files with bytes flipped, cut off, spliced and mislabelled: each is stored and decided about, or refused with a
reason, and what the pipelines read of it is an answer too.

The suite takes a small share of them, and as many as CONDYLE_MUTATED_FILES says where it does (10000 takes minutes).
"""

from __future__ import annotations

import os
import random
import re
import shutil
import warnings
from collections import Counter
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.in_process import InProcessNode, read_as_pipelines_do
from tests.node.receive.test_shared_data import FOLDERS
from tests.serving import client_of

SEED = 20261128
SHARE = int(os.environ.get("CONDYLE_MUTATED_FILES", "120"))
BATCH = 60  # files that are stored before it is decided about them
LARGEST = 300_000  # bytes of a file that is mutated: larger ones differ in their pixels only
HEADER = 4096  # bytes in which most mutations fall
TEXTS = (b"<zq7 a=b>", b"../../../etc", b"1,25", b"3mm", b"\0\0\0\0", b"\xff\xff\xff\xff", b"9" * 20, b"\\\\\\", b"\n")
VRS = (b"SQ", b"UN", b"US", b"DS", b"PN", b"UI", b"OB", b"UT", b"AT", b"ZZ")
_VR = re.compile(
    rb"[\x00-\xff]{2}[\x00-\xff]{2}(AE|AS|CS|DA|DS|DT|FD|IS|LO|LT|OB|OW|PN|SH|SL|SQ|SS|ST|TM|UI|UL|UN|US|UT)"
)


def _place(content: bytearray, dice: random.Random) -> int:
    return dice.randrange(min(HEADER, len(content)) if dice.random() < 0.8 else len(content))


def flip(content: bytearray, dice: random.Random, _other: bytes) -> None:
    """Some bytes are others."""
    for _ in range(dice.choice((1, 1, 2, 8, 64))):
        content[_place(content, dice)] = dice.randrange(256)


def cut_off(content: bytearray, dice: random.Random, _other: bytes) -> None:
    """The end is missing."""
    del content[dice.randrange(len(content)) :]


def leave_out(content: bytearray, dice: random.Random, _other: bytes) -> None:
    """A part is missing."""
    start = _place(content, dice)
    del content[start : start + dice.choice((1, 2, 8, 100, 5000))]


def splice(content: bytearray, dice: random.Random, other: bytes) -> None:
    """A part of another file stands in the middle."""
    start = dice.randrange(len(other))
    at = _place(content, dice)
    content[at:at] = other[start : start + dice.choice((4, 20, 200, 2000))]


def repeat(content: bytearray, dice: random.Random, _other: bytes) -> None:
    """A part stands there twice."""
    start = _place(content, dice)
    content[start:start] = content[start : start + dice.choice((8, 40, 400, 4000))]


def rename_vr(content: bytearray, dice: random.Random, _other: bytes) -> None:
    """An element has another VR."""
    if found := list(_VR.finditer(content[:HEADER])):
        at = dice.choice(found).start(1)
        content[at : at + 2] = dice.choice(VRS)


def change_length(content: bytearray, dice: random.Random, _other: bytes) -> None:
    """An element says that it is longer or shorter."""
    if found := list(_VR.finditer(content[:HEADER])):
        at = dice.choice(found).end(1)
        content[at : at + 2] = dice.choice(
            (b"\0\0", b"\1\0", b"\xff\xff", b"\xfe\xff", bytes((dice.randrange(256), 0)))
        )


def write_text(content: bytearray, dice: random.Random, _other: bytes) -> None:
    """A value is what somebody typed."""
    at, text = _place(content, dice), dice.choice(TEXTS)
    content[at : at + len(text)] = text


MUTATIONS = (flip, cut_off, leave_out, splice, repeat, rename_vr, change_length, write_text)


def originals(shared: Path) -> list[bytes]:
    """The shared DICOM files that are not large, and that name a study: (0020,000D)."""
    paths = sorted(path for folder in FOLDERS for path in (shared / folder).rglob("*") if path.is_file())
    contents = [path.read_bytes() for path in paths if path.stat().st_size <= LARGEST]
    return [content for content in contents if content[128:132] == b"DICM" and b"\x20\0\x0d\0" in content]


def run(shared: Path, folder: Path, number: int) -> Counter[str]:
    """Mutate `number` files and hold what became of each against what may."""
    outcomes: Counter[str] = Counter()
    sources = originals(shared)
    dice = random.Random(SEED)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # pydicom says a lot about such files
        for first in range(0, number, BATCH):
            node = InProcessNode(folder / str(first))  # a new one each: files that are mutated alike share UIDs
            try:
                _batch(node, [_mutated(sources, dice, outcomes) for _ in range(min(BATCH, number - first))], outcomes)
            finally:
                node.close()
                shutil.rmtree(folder / str(first))
    return outcomes


def _mutated(sources: list[bytes], dice: random.Random, outcomes: Counter[str]) -> bytes:
    content = bytearray(dice.choice(sources))
    for mutation in dice.sample(MUTATIONS, dice.choice((1, 1, 1, 2, 3))):
        if content:
            mutation(content, dice, dice.choice(sources))
            outcomes[f"mutation {mutation.__name__}"] += 1
    return bytes(content)


def _batch(node: InProcessNode, contents: list[bytes], outcomes: Counter[str]) -> None:
    files = []
    for number, content in enumerate(contents):
        files.append(node.data.parent / f"{number}.dcm")
        files[-1].write_bytes(content)
    for file in files:
        report = node.take([file])
        reasons = [reason for _, reason in report.not_taken]
        outcomes["stored"] += report.stored
        outcomes["directory of a medium"] += report.directories
        outcomes["refused"] += bool(reasons)
        outcomes.update(f"reason: {re.sub('[0-9.]+', '#', reason)}" for reason in reasons)
        assert report.stored + report.directories + len(reasons) >= 1, "nothing was said of a file"
        assert all(reasons), reasons
        assert not any("Traceback" in reason or "object at 0x" in reason for reason in reasons), reasons
    node.decide()
    assert node.undecided() == []
    stored = list(node.stored())
    outcomes["stored and decided"] += len(stored)
    for _, instance in stored:
        read_as_pipelines_do(instance)
    with client_of(node.app(), accept="text/html") as client:
        for path in ("/", *(f"/studies/{study}" for study in sorted({study for study, _ in stored})[:5])):
            assert "zq7" not in node.page(client, path)


@pytest.mark.shared_data
@pytest.mark.timeout(300 + SHARE)  # many are minutes
def test_mutated_files_are_stored_and_decided_or_refused_with_a_reason(
    shared_data: Path, tmp_path: Path, tell: Callable[[str], None]
) -> None:
    outcomes = run(shared_data, tmp_path, SHARE)
    tell(f"mutated files: {dict(outcomes)}")
    assert outcomes["stored and decided"] > SHARE / 10
    assert outcomes["refused"] > SHARE / 10
