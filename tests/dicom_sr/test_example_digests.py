from __future__ import annotations

from pathlib import Path

from tests.dicom_sr.example_digests import digests

KNOWN = Path(__file__).with_name("example_digests.txt")


def _by_name(lines: str) -> dict[str, str]:
    """Digests by the name of the object."""
    return {name: digest for digest, name in (line.split("  ") for line in lines.splitlines())}


def test_every_example_is_encoded_to_the_bytes_that_are_on_record(examples_folder: Path) -> None:
    known, made = _by_name(KNOWN.read_text(encoding="utf-8")), _by_name(digests(examples_folder))
    assert sorted(made) == sorted(known)
    assert [name for name in known if made[name] != known[name]] == []
