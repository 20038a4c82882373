"""`condyle train` and `condyle evaluate`: call the program of the pipeline."""

from __future__ import annotations

from collections.abc import Sequence
from importlib import import_module, util

from node.commands.exit_codes import NOT_RIGHT, USAGE
from node.commands.terminal import console
from pipelines.registry import UnknownPipeline, names, pipeline_type

OF_TRAINING = ("ignite", "fire", "tensorboard")  # packages of the extra `train`
ROOMS = {"train": "training", "evaluate": "evaluation"}  # the package of a pipeline that holds the program


def installed() -> str:
    """The installed pipelines, for a help text."""
    return ", ".join(names()) or "none"


def is_there(module: str) -> bool:
    """Whether a module can be imported, and all that it lies in; a pipeline may be a module and no package."""
    parts = module.split(".")
    for count in range(1, len(parts) + 1):
        spec = util.find_spec(".".join(parts[:count]))
        if spec is None or (count < len(parts) and spec.submodule_search_locations is None):
            return False
    return True


def hand_over(what: str, pipeline: str, arguments: Sequence[str]) -> int:
    """Call `main(arguments)` of the pipeline's module ``training.train`` or ``evaluation.evaluate``.

    Parameters
    ----------
    what
        ``train`` or ``evaluate``.
    pipeline
        Its name.
    arguments
        Passed on as they are.
    """
    try:
        package = pipeline_type(pipeline).__module__
    except UnknownPipeline as error:
        console(error=True).print(str(error), markup=False)
        return USAGE
    room = ROOMS[what]
    module = f"{package}.{room}.{what}"
    if not is_there(module):
        console(error=True).print(f"{pipeline} has no {room} of its own: there is no module {module}", markup=False)
        return USAGE
    try:
        code: int = import_module(module).main(list(arguments))
    except ModuleNotFoundError as error:
        missing = (error.name or "").partition(".")[0]
        if missing not in OF_TRAINING:
            raise
        sentence = f"{what} needs packages that a node does without, {missing} first: pip install 'condyle[train]'"
        console(error=True).print(sentence, markup=False)
        return NOT_RIGHT
    return code
