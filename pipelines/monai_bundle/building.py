"""The objects of a bundle are built from what was read of its configuration: MONAI's own, with literals."""

from __future__ import annotations

import inspect
import warnings
from functools import partial
from typing import Any

from pipelines.bundle import BundleError
from pipelines.monai_bundle.expressions import CONSTANTS, METHODS, computed
from pipelines.monai_bundle.parts import Build, Device, Function, Named
from pipelines.monai_bundle.targets import DETECTOR_CALLER, FETCHES, GONE, found, is_network, known_name


class CannotBeBuilt(BundleError, ValueError):
    """An object of the configuration cannot be built; the message says which, and what MONAI says."""


class Builder:
    """Builds what was read; the same description gives the same object.

    Parameters
    ----------
    device
        As torch names it.
    """

    def __init__(self, device: str = "cpu") -> None:
        self._device = device
        self._built: dict[int, Any] = {}

    def built(self, value: Any) -> Any:
        """The object, list or literal that `value` describes.

        Raises
        ------
        CannotBeBuilt
            If MONAI does not take it.
        """
        match value:
            case Build():
                return self._object(value)
            case Device():
                import torch

                return torch.device(self._device)
            case Named(name):
                return _constant(name)
            case Function():
                return partial(computed, value)
            case dict():
                return {key: self.built(one) for key, one in value.items()}
            case list():
                return [self.built(one) for one in value]
            case tuple():
                return tuple(self.built(one) for one in value)
        return value

    def _object(self, description: Build) -> Any:
        if id(description) in self._built:
            return self._built[id(description)]
        if description.target == DETECTOR_CALLER:
            return self._object(description.arguments["detector"])
        try:
            kind: Any = _kind(description.target)
            arguments = {name: self.built(one) for name, one in description.arguments.items()}
            positional = [self.built(one) for one in description.positional]
            if is_network(description.target):
                arguments, positional = _without_fetching(kind, arguments, positional)
                gone = GONE.get(known_name(description.target) or "", frozenset())
                arguments = {name: one for name, one in arguments.items() if name not in gone}
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # about what MONAI itself will change
                made = kind(*positional, **arguments)
            self._built[id(description)] = made
            for call in description.afterwards:
                if call.method not in METHODS:
                    raise CannotBeBuilt(f"{description.where}: {call.method} is not called")
                getattr(made, call.method)(**{name: self.built(one) for name, one in call.arguments.items()})
        except CannotBeBuilt:
            raise
        except Exception as error:  # whatever a constructor of MONAI raises: it is about the bundle's arguments
            raise CannotBeBuilt(f"{description.where}: {description.target}: {error}") from error
        return made


def _kind(target: str) -> Any:
    if known_name(target) != "resnet_fpn_feature_extractor":
        return found(target)
    from pipelines.monai_bundle.feature_pyramid import feature_extractor

    return feature_extractor


def _constant(name: str) -> Any:
    if name not in CONSTANTS:
        raise CannotBeBuilt(f"{name} is no constant that can be read")
    library, _, what = name.partition(".")
    if library == "torch":
        import torch

        return getattr(torch, what)
    import numpy as np

    return getattr(np, what)


def _without_fetching(kind: Any, arguments: dict[str, Any], positional: list[Any]) -> tuple[dict[str, Any], list[Any]]:
    """The arguments without those that would fetch weights: the bundle's own are loaded afterwards."""
    parameters = [name for name in inspect.signature(kind).parameters if name != "self"]
    given = dict(zip(parameters, positional, strict=False)) | arguments
    if len(positional) > len(parameters):
        raise CannotBeBuilt(f"{kind.__name__} is given more arguments by place than it names")
    kept = {name: value for name, value in given.items() if name not in FETCHES}
    kept |= {name: False for name in ("pretrained", "pretrained_backbone") if name in parameters}
    return kept, []
