"""A bundle's weights: read without unpickling anything but tensors, and written in safetensors."""

from __future__ import annotations

import re
import warnings
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pipelines.monai_bundle.reading import UnreadableBundle

if TYPE_CHECKING:
    import torch

_INSTEAD = "save the network's state_dict() alone"
_NESTED = ("model", "state_dict", "network", "net", "model_state_dict")  # where checkpoints keep the network's


def read_weights(path: Path) -> dict[str, torch.Tensor]:
    """The tensors of a network by name, on the CPU.

    Raises
    ------
    UnreadableBundle
        If the file is no safetensors and no checkpoint of tensors alone: one that would run code is not read.
    """
    if path.suffix == ".safetensors":
        from safetensors import SafetensorError
        from safetensors.torch import load_file

        try:
            return dict(load_file(path))
        except OSError as error:
            raise UnreadableBundle(f"{path}: cannot be read: {error.strerror or error}") from error
        except SafetensorError as error:
            raise UnreadableBundle(f"{path}: is no valid safetensors file: {error}") from error
    import torch

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # about the protocol of a pickle that is then refused
            content = torch.load(path, map_location="cpu", weights_only=True)
    except MemoryError:
        raise
    except Exception as error:  # whatever the unpickler raises on bytes that are none of its own
        raise UnreadableBundle(f"{path}: {_why_not_read(error)}") from error
    return _tensors(content, path)


def _why_not_read(error: Exception) -> str:
    """Why torch did not read a file; its own words advise to open it all the same."""
    if isinstance(error, OSError) and error.strerror:
        return f"cannot be read: {error.strerror}"
    if "TorchScript" in str(error):
        return f"is TorchScript, which is a program, and is not read; {_INSTEAD}"
    named = re.search(r"GLOBAL ([\w.]+)", str(error))
    what = f"holds more than tensors, as it names {named[1]}," if named else "holds more than tensors, or is damaged,"
    return f"{what} and is not read: opening it could run code; {_INSTEAD}, or let a box open it by trust: code"


def _tensors(content: Any, path: Path) -> dict[str, torch.Tensor]:
    import torch

    while isinstance(content, dict):
        inner = next((content[name] for name in _NESTED if isinstance(content.get(name), dict)), None)
        if inner is None:
            break
        content = inner
    if not isinstance(content, dict) or not content:
        raise UnreadableBundle(f"{path}: holds no weights by name; TorchScript is not read")
    tensors = {str(name).removeprefix("module."): one for name, one in content.items() if isinstance(one, torch.Tensor)}
    if len(tensors) != len(content):
        raise UnreadableBundle(f"{path}: holds something else among its weights")
    return tensors


def convert(path: Path) -> Path:
    """Write the weights of a checkpoint beside it, in safetensors; the path to them.

    Raises
    ------
    UnreadableBundle
        As `read_weights`, or if they cannot be written there.
    """
    from safetensors import SafetensorError
    from safetensors.torch import save_file

    made = path.with_suffix(".safetensors")
    tensors = {name: one.contiguous().clone() for name, one in read_weights(path).items()}  # shared ones are refused
    try:
        save_file(tensors, made)
    except (OSError, SafetensorError) as error:
        raise UnreadableBundle(
            f"{made}: cannot be written ({error}); copy the bundle to a folder of your own"
        ) from error
    return made


def load_into(network: torch.nn.Module, path: Path) -> None:
    """Load the weights of `path` into a network.

    Raises
    ------
    UnreadableBundle
        If they are another network's.
    """
    try:
        network.load_state_dict(read_weights(path))
    except RuntimeError as error:
        lines = [line.strip() for line in str(error).splitlines()[1:3]]
        raise UnreadableBundle(f"{path}: are not the weights of this network: {' '.join(lines)[:300]}") from error
