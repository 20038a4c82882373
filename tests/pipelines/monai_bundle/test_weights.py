"""Weights are read without running anything."""

from __future__ import annotations

import os
import pickle
import warnings
from pathlib import Path
from typing import Any

import pytest
import torch

from pipelines.monai_bundle.reading import UnreadableBundle
from pipelines.monai_bundle.weights import convert, load_into, read_weights

WEIGHTS = {"weight": torch.arange(6.0).reshape(2, 3), "bias": torch.tensor([1.0, 2.0])}


class Malicious:
    """Touches a file where it is unpickled."""

    def __init__(self, mark: Path) -> None:
        self._mark = mark

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.system, (f"touch {self._mark}",)


@pytest.mark.parametrize("content", [WEIGHTS, {"model": WEIGHTS}, {"state_dict": WEIGHTS, "epoch": 3}])
def test_a_checkpoint_is_read_and_converted(tmp_path: Path, content: object) -> None:
    torch.save(content, tmp_path / "model.pt")
    made = convert(tmp_path / "model.pt")
    assert made == tmp_path / "model.safetensors"
    for path in (tmp_path / "model.pt", made):
        read = read_weights(path)
        assert set(read) == set(WEIGHTS)
        assert all(torch.equal(read[name], WEIGHTS[name]) for name in WEIGHTS)


def test_weights_that_share_memory_are_converted(tmp_path: Path) -> None:
    torch.save({"a": WEIGHTS["bias"], "b": WEIGHTS["bias"]}, tmp_path / "model.pt")
    assert set(read_weights(convert(tmp_path / "model.pt"))) == {"a", "b"}


@pytest.mark.parametrize("form", ["plain", "in a checkpoint", "in a torch file"])
def test_a_pickle_that_would_run_something_is_not_read(tmp_path: Path, form: str) -> None:
    mark, path = tmp_path / "was_here", tmp_path / "model.pt"
    if form == "plain":
        path.write_bytes(pickle.dumps(Malicious(mark)))
    else:
        torch.save({"model": WEIGHTS, "x": Malicious(mark)} if form == "in a checkpoint" else Malicious(mark), path)
    with pytest.raises(UnreadableBundle, match="holds more than tensors"):
        read_weights(path)
    with pytest.raises(UnreadableBundle):
        convert(path)
    assert not mark.exists()
    assert sorted(one.name for one in tmp_path.iterdir()) == ["model.pt"]
    with path.open("rb") as file:  # it is malicious: unpickled as it was meant to be, it acts
        (pickle.load(file) if form == "plain" else torch.load(path, weights_only=False))
    assert mark.exists()


def test_what_torch_advises_about_a_pickle_is_not_passed_on(tmp_path: Path) -> None:
    torch.save({"model": WEIGHTS, "x": Malicious(tmp_path / "was_here")}, tmp_path / "model.pt")
    with pytest.raises(UnreadableBundle, match=r"as it names posix.system, and is not read: .* by trust: code$"):
        read_weights(tmp_path / "model.pt")


def test_a_program_of_torch_is_not_read(tmp_path: Path) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # about the age of TorchScript
        program: Any = torch.jit.script(torch.nn.Linear(2, 2))
        program.save(str(tmp_path / "model.pt"))
    with pytest.raises(UnreadableBundle, match=r"is TorchScript, .*; save the network's state_dict\(\) alone$"):
        read_weights(tmp_path / "model.pt")


def test_weights_that_cannot_be_written_or_read_are_said_not_to_be(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "model.pt")
    (tmp_path / "model.safetensors").mkdir()
    with pytest.raises(UnreadableBundle, match=r"cannot be written .*; copy the bundle to a folder of your own"):
        convert(tmp_path / "model.pt")
    for name in ("model.safetensors", "nothing.pt"):
        with pytest.raises(UnreadableBundle, match=r"cannot be read: \w+"):
            read_weights(tmp_path / name)


@pytest.mark.parametrize("content", [b"", b"no weights", b"junk\n", b"h\x05.", b"PK\x03\x04 cut off"])
def test_a_damaged_file_is_said_to_be(tmp_path: Path, content: bytes) -> None:
    for name in ("model.pt", "model.safetensors"):
        (tmp_path / name).write_bytes(content)
        with pytest.raises(UnreadableBundle, match=name):
            read_weights(tmp_path / name)


def test_weights_of_another_network_are_said_to_be(tmp_path: Path) -> None:
    torch.save(WEIGHTS, tmp_path / "model.pt")
    load_into(torch.nn.Linear(3, 2), tmp_path / "model.pt")
    with pytest.raises(UnreadableBundle, match="not the weights of this network"):
        load_into(torch.nn.Linear(4, 2), tmp_path / "model.pt")
