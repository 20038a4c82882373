"""Bundles in the data folder: whole, unchanged, each once."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from node import files
from node.models import store
from node.models.store import NotStored, add, clear, digests, folder_of, remove, require_whole
from pipelines.bundle import bundle_digest


@pytest.fixture
def bundle(tmp_path: Path) -> Path:
    folder = tmp_path / "own"
    (folder / "configs").mkdir(parents=True)
    (folder / "weights.safetensors").write_bytes(b"weights")
    (folder / "configs" / "inference.json").write_text("{}")
    (folder / ".git").write_text("of no account")
    return folder


def test_a_bundle_is_copied_once_under_the_digest_of_its_files(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    digest = add(data, bundle)
    names = ("configs/inference.json", "weights.safetensors")
    assert digest == bundle_digest({name: bundle / name for name in names})
    kept = folder_of(data, digest)
    assert sorted(path.relative_to(kept).as_posix() for path in kept.rglob("*") if path.is_file()) == list(names)
    before = kept.stat().st_ino
    assert add(data, bundle) == digest
    assert (kept.stat().st_ino, digests(data)) == (before, [digest])


def test_nobody_but_the_nodes_account_reads_a_bundle_and_nobody_writes_to_it(bundle: Path, tmp_path: Path) -> None:
    kept = folder_of(tmp_path / "data", add(tmp_path / "data", bundle))
    assert {path.stat().st_mode & 0o777 for path in kept.rglob("*") if path.is_file()} == {0o400}
    assert {path.stat().st_mode & 0o777 for path in (kept, kept / "configs")} == {0o500}


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files to another account")
def test_what_root_puts_there_is_the_nodes(bundle: Path, tmp_path: Path) -> None:
    data, nobody = tmp_path / "data", 65534
    data.mkdir()
    os.chown(data, nobody, nobody)
    kept = folder_of(data, add(data, bundle))
    assert {path.stat().st_uid for path in (data / "models", kept, *kept.rglob("*"))} == {nobody}


def test_a_bundle_that_was_changed_or_lost_is_named(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    digest = add(data, bundle)
    require_whole(data, digest)
    path = folder_of(data, digest) / "weights.safetensors"
    path.chmod(0o600)
    path.write_bytes(b"WEIGHTS")
    with pytest.raises(NotStored, match=r"its files were changed; bring it back from a backup"):
        require_whole(data, digest)
    with pytest.raises(NotStored, match=r"its files were changed"):
        add(data, bundle)
    remove(data, digest)
    with pytest.raises(NotStored, match=r"is missing; bring it back from a backup"):
        require_whole(data, digest)
    assert add(data, bundle) == digest


def test_a_folder_that_is_no_bundle_leaves_nothing_behind(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    data = tmp_path / "data"
    (tmp_path / "empty").mkdir()
    with pytest.raises(NotStored, match="holds no file"):
        add(data, tmp_path / "empty")
    monkeypatch.setattr(store, "MOST_FILES", 1)
    with pytest.raises(NotStored, match="holds more than 1 file"):
        add(data, bundle)
    monkeypatch.undo()
    os.symlink("nowhere", bundle / "broken")  # a link that leads nowhere is no file
    add(data, bundle)
    assert not list((data / "models").glob(".*"))


def test_files_that_change_while_they_are_copied_are_not_kept(
    bundle: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    copy = files.copy_whole

    def copy_and_change(source: Path, *arguments: object, **more: object) -> None:
        copy(source, *arguments, **more)  # type: ignore[arg-type]
        source.write_bytes(b"others")

    monkeypatch.setattr(store, "copy_whole", copy_and_change)
    with pytest.raises(NotStored, match="its files change while they are copied"):
        add(tmp_path / "data", bundle)
    assert not list((tmp_path / "data" / "models").iterdir())


def test_what_a_copy_that_was_cut_off_left_goes_at_the_start(bundle: Path, tmp_path: Path) -> None:
    data = tmp_path / "data"
    digest = add(data, bundle)
    (data / "models" / ".half").mkdir()
    clear(data)
    assert [path.name for path in (data / "models").iterdir()] == [digest]
