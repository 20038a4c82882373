"""`trust: code`: what a bundle brings runs in a process of its own, without network, on a read-only file system.

Arrays go in and come out as files of one folder, never as pickles. bubblewrap makes the box. A worker of the node that
is in a box itself has neither network nor files beside its job's, and the node ends it when the job is done: there the
process is started as it is.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import signal
import stat
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import numpy as np

from dicom_sr.errors import UnsuitableInput
from pipelines.bundle import BundleError
from pipelines.monai_bundle import execution
from pipelines.monai_bundle.folder import BundleFolder
from pipelines.monai_bundle.in_box import IN_BOX
from pipelines.monai_bundle.pipeline_settings import MonaiBundleSettings
from pipelines.monai_bundle.running import Array, Arrays, weights_or_none

EXCHANGE = Path("/exchange")
_NAMESPACES = ("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL", "--uid", "65534")
_SYSTEM = ("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin", "/etc/ld.so.cache", "/sys/devices/system")
_LARGEST_ANSWER = 8 * 2**30  # bytes of one array
_LAST_WORDS = 2000  # characters of what it says before it fails
_ARRAYS = {
    "segmentation": ("values", "resampled"),
    "boxes": ("boxes", "scores", "labels", "affine"),
    "classes": ("values", "affine", "shape", "probabilities"),
}


class ConfinedRunner:
    """Starts the bundle's process for each study anew, so that nothing of one is there with the next.

    Parameters
    ----------
    folder
        Of the bundle.
    settings
        Of the bundle.

    Raises
    ------
    BundleError
        If this machine cannot make a box.
    """

    def __init__(self, folder: BundleFolder, settings: MonaiBundleSettings) -> None:
        from pipelines.device import resolved

        self._folder, self._settings, self.remark = folder, settings, ""
        self._device = str(resolved(settings.device))
        if (python := settings.python) is not None and not os.access(python, os.X_OK):
            raise BundleError(f"python: {python} is no program that this account may run")
        if not in_box() and (why := why_no_box()) is not None:
            raise BundleError(
                f"trust: code needs a box for the bundle's own code, and there is none here, for {why}; install"
                " Debian's bubblewrap, or use a bundle that runs with trust: declarative"
            )

    def run(self, images: Mapping[str, Arrays], kind: str) -> dict[str, Array]:
        """What the bundle makes of images; it may have run anything, and reached neither network nor files.

        Raises
        ------
        UnsuitableInput
            If the process ends without an answer, or with one that is none.
        BundleError
            If its interpreter lacks a package.
        """
        with TemporaryDirectory(prefix="condyle-bundle-") as place:
            exchange = Path(place)
            self._write_request(exchange, images, kind)
            done = self._process(exchange)
            if done.returncode != 0 or not (exchange / "answer.json").is_file():
                why = _last_line(done.stderr)
                if why.startswith("ModuleNotFoundError: "):
                    python = self._settings.python or sys.executable
                    raise BundleError(f"{python} lacks what the bundle needs: {why}; install it there, or set python")
                raise UnsuitableInput(f"the bundle's own code ended with exit code {done.returncode}: {why}")
            return {name: _array(exchange / f"{name}.npy") for name in _ARRAYS.get(kind, _ARRAYS["classes"])}

    def _write_request(self, exchange: Path, images: Mapping[str, Arrays], kind: str) -> None:
        listed = []
        for number, (key, one) in enumerate(images.items()):
            file = f"input-{number}.npy"
            np.save(exchange / file, one.array, allow_pickle=False)
            affine = np.asarray(one.affine).tolist()
            listed.append({"key": key, "file": file, "affine": affine, "channel_dim": one.channel_dim})
        weights = weights_or_none(self._folder)
        names = self._folder.names_of_parts()
        request = {
            "images": listed,
            "kind": kind,
            "device": self._device,
            "autocast": self._settings.autocast,
            "bundle": str(self._folder.path.absolute()),
            "configuration": str(self._folder.configuration_file.relative_to(self._folder.path)),
            "parts": {part: names[part] for part in ("network", "preprocessing", "inferer", "postprocessing")},
            "weights": None if weights is None else str(weights.absolute()),
        }
        (exchange / "request.json").write_text(json.dumps(request))

    def _process(self, exchange: Path) -> subprocess.CompletedProcess[bytes]:
        program = Path(execution.__file__).absolute()
        python = self._settings.python or Path(sys.executable)
        reads = (*(room.absolute() for room in self._folder.rooms), program, *folders_of(python))
        if in_box():
            command = [str(python), "-I", str(program), str(exchange)]
        else:
            command = [*boxed(reads, exchange), str(python), "-I", str(program), str(EXCHANGE)]
        environment = {"PATH": os.environ.get("PATH", "/usr/bin"), "HOME": "/tmp", "TMPDIR": "/tmp", "LANG": "C.UTF-8"}
        environment |= {"USER": "nobody", "LOGNAME": "nobody"}
        environment |= {name: os.environ[name] for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS") if name in os.environ}
        with subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.PIPE,
            env=environment,
            cwd="/",
            start_new_session=True,
        ) as process:
            try:
                _, said = process.communicate()
            finally:
                with contextlib.suppress(ProcessLookupError):
                    os.killpg(process.pid, signal.SIGKILL)  # and what it left behind
        return subprocess.CompletedProcess(command, process.returncode, b"", said[-_LAST_WORDS:])


def in_box() -> bool:
    """Whether this process is in a box of the node's, which ends with the job."""
    return os.environ.get(IN_BOX) == "1"


def why_no_box() -> str | None:
    """Why bubblewrap cannot make a box here; None where it can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed"
    try:
        done = subprocess.run([*boxed((), None), "true"], capture_output=True, timeout=10, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return f"bubblewrap cannot be started ({type(error).__name__})"
    return None if done.returncode == 0 else f"the system does not let bubblewrap make one ({_last_line(done.stderr)})"


def boxed(reads: Sequence[Path], exchange: Path | None) -> list[str]:
    """The command that makes the box, to stand before another command.

    Parameters
    ----------
    reads
        Files and folders to read beside the system, at their own place.
    exchange
        A folder to write to, as `EXCHANGE`; None: there is none.
    """
    words = [shutil.which("bwrap") or "bwrap", *_NAMESPACES, "--proc", "/proc", "--dev", "/dev"]
    for name in _SYSTEM:
        path = Path(name)
        if path.is_symlink():
            words += ["--symlink", os.readlink(path), name]
        else:
            words += ["--ro-bind-try", name, name]
    for device in _gpus():
        words += ["--dev-bind-try", str(device), str(device)]
    words += ["--tmpfs", "/tmp"]
    for path in reads:
        words += ["--ro-bind", str(path), str(path)]
    if exchange is not None:
        words += ["--bind", str(exchange), str(EXCHANGE)]
    return [*words, "--remount-ro", "/proc", "--remount-ro", "/", "--chdir", "/", "--"]


def _gpus() -> Iterator[Path]:
    for pattern in ("nvidia*", "dri", "kfd", "dxg"):
        yield from sorted(Path("/dev").glob(pattern))


def folders_of(python: Path) -> tuple[Path, ...]:
    """What an interpreter needs: its environment, and the installation that this was made from."""
    found = [python.parent.parent.absolute()]
    configuration = found[0] / "pyvenv.cfg"
    if configuration.is_file():
        for line in configuration.read_text(encoding="utf-8", errors="replace").splitlines():
            key, _, value = line.partition("=")
            if key.strip() == "home":
                found.append(Path(value.strip()).parent)
    found += [Path(os.path.realpath(python)).parent.parent]
    kept = [path for path in dict.fromkeys(found) if path not in (Path("/"), Path("/usr"))]
    return tuple(kept)


def _last_line(said: bytes) -> str:
    lines = [line for line in said.decode(errors="replace").splitlines() if line.strip()]
    return lines[-1].strip()[:300] if lines else "it said nothing"


def _array(path: Path) -> Array:
    """An array that came out: numbers alone."""
    try:
        state = path.lstat()
        if not stat.S_ISREG(state.st_mode) or state.st_size > _LARGEST_ANSWER:  # a pipe would never end
            raise ValueError("is no file, or too large")
        array: Any = np.load(path, allow_pickle=False)
        if not isinstance(array, np.ndarray) or array.dtype.kind not in "biuf":
            raise ValueError("holds no numbers")
    except (OSError, ValueError, EOFError, MemoryError) as error:  # a header may name any size
        raise UnsuitableInput(f"the bundle's own code left no {path.stem} that can be read") from error
    return array
