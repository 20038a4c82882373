"""Options of `condyle train` and `condyle evaluate` that mean the same for every pipeline."""

from __future__ import annotations

from argparse import ArgumentParser, ArgumentTypeError
from collections.abc import Mapping
from pathlib import Path

from pipelines.device import device_name
from pipelines.lab.arguments import count, existing_folder, existing_path, output_folder, whole_number

PACKAGE = Path(__file__).resolve().parents[1]


def add_seed(options: ArgumentParser, default: int = 0) -> None:
    """`--seed`: where all chance of a training comes from."""
    options.add_argument(
        "--seed",
        type=whole_number,
        default=default,
        help="of weights and of everything drawn; the same seed, the same run",
    )


def add_threads(options: ArgumentParser, default: int = 1) -> None:
    """`--threads`: of the CPU."""
    options.add_argument("--threads", type=count, default=default, help=f"CPU threads; default: {default}")


def add_device(options: ArgumentParser) -> None:
    """`--device`: as the setting of a route; see `pipelines.device`."""
    options.add_argument(
        "--device", type=_device, default="auto", help="auto (a GPU where there is one), cpu or cuda:N; default: auto"
    )


def add_data(
    options: ArgumentParser, what: str, layouts: Mapping[str, str], default: str | None = None, *, files: bool = False
) -> None:
    """`--data` and `--layout`: folders of a site's own data, and how they are arranged.

    Parameters
    ----------
    options
        To add to.
    what
        Of what the folder is, such as "thin-slice MR volumes".
    layouts
        Sentence on each layout, by its name.
    default
        The layout where none is named; None: it has to be named where there are data.
    files
        Whether a file, such as a zip, may stand for a folder.
    """
    kind = existing_path if files else existing_folder
    options.add_argument(
        "--data", type=kind, action="append", default=[], metavar="FOLDER", help=f"{what}; may be repeated"
    )
    sentences = "; ".join(f"{name}: {sentence}" for name, sentence in layouts.items())
    stated = f". Default: {default}" if default else ""
    options.add_argument(
        "--layout", choices=tuple(layouts), default=default, help=f"how --data is arranged. {sentences}{stated}"
    )


def add_output(options: ArgumentParser) -> None:
    """`--output`: the folder of the bundle that a training writes; it has to be named, and is never the package's."""
    options.add_argument(
        "--output",
        type=bundle_to_write,
        required=True,
        metavar="FOLDER",
        help="folder of the bundle to write, with log and checkpoint; a route names it by `settings: {bundle: FOLDER}`",
    )


def add_bundle(options: ArgumentParser) -> None:
    """`--bundle`: which bundle is evaluated."""
    options.add_argument(
        "--bundle",
        type=existing_folder,
        metavar="FOLDER",
        help="bundle that `condyle train` wrote; default: the one shipped",
    )


def add_report(options: ArgumentParser) -> None:
    """`--report`: the folder for report.html and its pictures."""
    options.add_argument(
        "--report", type=output_folder, metavar="FOLDER", help="write report.html and its pictures into this folder"
    )


def bundle_to_write(text: str) -> Path:
    """A folder to write a bundle to, outside the installed package.

    A node that runs would otherwise find other weights under the network that it has in memory.

    Raises
    ------
    ArgumentTypeError
        If a file is in its way, or it lies in the package.
    """
    path = output_folder(text)
    if path.resolve().is_relative_to(PACKAGE):
        raise ArgumentTypeError(
            f"{text}: lies in the installed package, which a training does not change; name a folder of your own"
        )
    return path


def readable(folder: Path) -> None:
    """Let every account of the machine read a bundle, whatever the mask of who trained it: the service is another."""
    for path in (folder, *folder.rglob("*")):
        path.chmod(0o755 if path.is_dir() else 0o644)


def _device(text: str) -> str:
    try:
        return device_name(text)
    except ValueError as error:
        raise ArgumentTypeError(str(error)) from None
