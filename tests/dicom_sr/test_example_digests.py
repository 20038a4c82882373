from __future__ import annotations

from pathlib import Path

from tests.dicom_sr.example_digests import example_digests

KNOWN = Path(__file__).with_name("example_digests.txt")


def test_every_example_is_encoded_to_the_bytes_that_are_on_record() -> None:
    known = dict(reversed(line.split("  ")) for line in KNOWN.read_text(encoding="utf-8").splitlines())
    made = dict(reversed(line.split("  ")) for line in example_digests().splitlines())
    assert sorted(made) == sorted(known)
    assert [name for name in known if made[name] != known[name]] == []
