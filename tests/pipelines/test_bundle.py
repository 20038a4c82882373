"""The digest of a bundle, and the settings that name one."""

from __future__ import annotations

import hashlib
import os
from pathlib import Path

import pytest
from pydantic import ValidationError

from pipelines.base import PipelineSettings
from pipelines.bundle import BundleSettings, bundle_digest, files_in


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "tables").mkdir()
    (tmp_path / "weights.safetensors").write_bytes(b"weights")
    (tmp_path / "model.json").write_text("{}")
    (tmp_path / "tables" / "codes.csv").write_text("code\n")
    return tmp_path


def test_the_digest_is_over_names_and_contents_in_the_order_of_the_names(folder: Path) -> None:
    whole = hashlib.sha256()
    for name, content in (("model.json", b"{}"), ("tables/codes.csv", b"code\n"), ("weights.safetensors", b"weights")):
        whole.update(hashlib.sha256(name.encode()).digest() + hashlib.sha256(content).digest())
    for patterns in (("*.*", "tables/*"), ("tables/*", "*.safetensors", "*.json")):
        assert bundle_digest(files_in(folder, *patterns)) == whole.hexdigest()


@pytest.mark.parametrize("name", ["model.json", "weights.safetensors", "tables/codes.csv"])
def test_a_changed_file_changes_the_digest_at_once(folder: Path, name: str) -> None:
    before = bundle_digest(files_in(folder, "*.*", "tables/*"))
    (folder / name).write_bytes((folder / name).read_bytes() + b" ")
    assert bundle_digest(files_in(folder, "*.*", "tables/*")) != before


def test_a_renamed_file_changes_the_digest(folder: Path) -> None:
    before = bundle_digest(files_in(folder, "*.*"))
    (folder / "model.json").rename(folder / "other.json")
    assert bundle_digest(files_in(folder, "*.*")) != before


def test_contents_do_not_run_into_each_other(tmp_path: Path) -> None:
    for name, first, second in (("one", "ab", "c"), ("two", "a", "bc")):
        (tmp_path / name).mkdir()
        (tmp_path / name / "1").write_text(first)
        (tmp_path / name / "2").write_text(second)
    assert bundle_digest(files_in(tmp_path / "one", "*")) != bundle_digest(files_in(tmp_path / "two", "*"))


def test_a_missing_file_is_named(folder: Path) -> None:
    with pytest.raises(FileNotFoundError, match=r"holds no thresholds\.json"):
        files_in(folder, "*.safetensors", "thresholds.json")


def test_a_file_that_is_replaced_by_one_of_the_same_size_and_time_changes_the_digest(folder: Path) -> None:
    path = folder / "weights.safetensors"
    os.utime(path, (1_700_000_000, 1_700_000_000))
    before = bundle_digest(files_in(folder, "*.*"))
    path.write_bytes(b"WEIGHTS")
    os.utime(path, (1_700_000_000, 1_700_000_000))
    assert bundle_digest(files_in(folder, "*.*")) != before


def test_which_bundle_it_is_stands_in_the_digest_of_the_weights_alone(folder: Path) -> None:
    class Settings(BundleSettings):
        width_mm: float = 2.0

    class Plain(PipelineSettings):
        width_mm: float = 2.0

    pinned = Settings(bundle=folder, sha256="ab" * 32)
    assert pinned.digest() == Settings().digest() == Plain().digest()
    assert pinned.as_parameters() == (("width_mm", "2.0"),)


@pytest.mark.parametrize("digest", ["ab", "AB" * 32, "zz" * 32])
def test_what_is_no_digest_is_refused(digest: str) -> None:
    with pytest.raises(ValidationError, match="sha256"):
        BundleSettings(sha256=digest)
