"""What a bundle's configuration describes once it was read: literals, and what is to be built from them."""

from __future__ import annotations

import ast
from dataclasses import dataclass, field
from typing import Any


@dataclass(frozen=True)
class Device:
    """The device that the pipeline runs on, whichever the configuration computes."""


@dataclass(frozen=True)
class Named:
    """A constant that a library names, such as ``torch.float32``."""

    name: str


@dataclass(frozen=True)
class Function:
    """A function of one value, a lambda that `pipelines.monai_bundle.expressions` computes step by step."""

    source: str
    parameter: str
    body: ast.expr = field(compare=False)


@dataclass
class Build:
    """An object to be built: the same one for everything that refers to it."""

    target: str  # as the configuration names it
    where: str  # its place in the configuration
    arguments: dict[str, Any]
    positional: tuple[Any, ...] = ()
    afterwards: list[Call] = field(default_factory=list)  # methods to be called once it is built


@dataclass(frozen=True)
class Call:
    """A method of something built, called with literals while a bundle is made ready."""

    of: Build
    method: str
    arguments: dict[str, Any]


@dataclass(frozen=True)
class Unread:
    """An expression or a target that is not understood, and why."""

    where: str  # its place in the configuration, as MONAI writes it: network_def::channels
    text: str  # as it stands there
    why: str

    @property
    def sentence(self) -> str:
        """For whoever set the bundle up."""
        return f"{self.where}: {self.text}: {self.why}"
