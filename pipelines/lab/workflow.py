"""Runs a config of a MONAI bundle, as `python -m monai.bundle run` does, with a command's values for its own."""

from __future__ import annotations

import logging
from pathlib import Path
from typing import Literal

WRAPPED = ("Failed to evaluate", "Failed to instantiate")  # how MONAI begins what it puts round an error


def run_workflow(bundle: Path, config: str, kind: Literal["train", "infer"] = "train", **overrides: object) -> None:
    """Run a bundle's config.

    Parameters
    ----------
    bundle
        The folder.
    config
        Name of the config, such as `train`.
    kind
        What MONAI expects of it.
    **overrides
        Values in place of the config's own, by their ids, such as `seed`.

    Raises
    ------
    Exception
        What one of our own functions raised, whatever MONAI wrapped it in.
    """
    from monai.bundle import ConfigWorkflow

    logging.getLogger("monai.bundle.workflows").setLevel(logging.ERROR)  # it warns that it leaves our logging alone
    configs = bundle / "configs"
    workflow = ConfigWorkflow(
        config_file=str(configs / f"{config}.json"),
        meta_file=str(configs / "metadata.json"),
        logging_file=False,
        workflow_type=kind,
        bundle_root=str(bundle),
        **overrides,
    )
    try:
        workflow.initialize()
        workflow.run()
        workflow.finalize()
        return
    except RuntimeError as error:
        raised = _raised(error)
    raise raised


def _raised(error: BaseException) -> BaseException:
    """The error as it was raised: MONAI says of every one only that something could not be built or evaluated.

    What the error itself names as its cause stays its cause.
    """
    while isinstance(error, RuntimeError) and str(error).startswith(WRAPPED) and error.__cause__ is not None:
        error = error.__cause__
    return error
