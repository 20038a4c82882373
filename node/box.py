"""A box for processes that meet what others sent: they reach no network and see few files, none of the node's secrets.

bubblewrap (``bwrap``) makes it. Where it is missing, or the system forbids user namespaces as many containers do, what
an account without privileges can do by itself is left: no network where ``unshare`` may take it away, an environment
without secrets, no new privileges, few open files.
"""

from __future__ import annotations

import contextlib
import ctypes
import logging
import os
import resource
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import cache
from importlib.metadata import entry_points
from importlib.util import find_spec
from pathlib import Path

from node.process_output import relay
from pipelines.monai_bundle.in_box import IN_BOX

NOBODY = "65534"
NEW_NAMESPACES = (
    *("--unshare-all", "--die-with-parent", "--new-session", "--cap-drop", "ALL"),
    *("--uid", NOBODY, "--gid", NOBODY, "--hostname", "box"),
)
SYSTEM = (  # of the system, what programs need; none of it is secret
    *("/usr", "/lib", "/lib32", "/lib64", "/libx32", "/bin", "/sbin"),
    *("/etc/ld.so.cache", "/etc/hosts", "/etc/alternatives", "/etc/fonts", "/etc/localtime", "/sys/devices/system"),
)
WITH_GPU = ("/sys", "/run/nvidia-persistenced", "/etc/OpenCL", "/etc/vulkan")
GPU_DEVICES = ("nvidia*", "dri", "kfd", "dxg")
PASSED_ON = frozenset(
    {"PATH", "LANG", "LANGUAGE", "TZ", "LD_LIBRARY_PATH", "PYTHONHASHSEED", "PYTHONUTF8", "TCP_NODELAY"}
)
PASSED_ON_BY_PREFIX = (
    *("LC_", "OMP_", "MKL_", "OPENBLAS_", "GOMP_", "KMP_", "NUMEXPR_", "THP_", "MALLOC_"),
    *("CUDA_", "CUBLAS_", "CUDNN_", "NVIDIA_", "HIP_", "ROCR_", "PYTORCH_", "CONDYLE_LOG"),
)
LOG_FORMAT = {"CONDYLE_LOG_FORMAT": "json"}  # whose records `relay` knows
OPEN_FILES = 4096
TASKS = 2048  # processes and threads; it needs some for each processor
PROBE_S = 10.0
LAST_WORDS_S = 1.0
PATIENCE_S = 5.0  # for what bwrap still does after its box has ended
PIPELINES = "condyle.pipelines"  # entry points of the packages that hold pipelines
_PR_SET_PDEATHSIG, _PR_SET_NO_NEW_PRIVS = 1, 38  # linux/prctl.h
_OF_PYTHON = frozenset({".py", ".so", ".libs", ".egg-info", ".dist-info"})
_INSTALLED = ("site-packages", "dist-packages")

# The kernel ends a box when the *thread* that started it ends, so one thread starts them all, and stays.
_starter = ThreadPoolExecutor(1, thread_name_prefix="box starter")


@dataclass(frozen=True)
class View:
    """What a process in a box sees beside Python and the system.

    Parameters
    ----------
    scratch
        A folder for what it writes to ``/tmp``; None: it cannot.
    covers
        A folder of which nothing else is seen.
    reads
        Files and folders to read, at their own place.
    shows
        By place in the box: a folder to read that lies elsewhere.
    writes
        By place in the box: a folder to write to.
    """

    scratch: Path | None = None
    covers: Path | None = None
    reads: tuple[Path, ...] = ()
    shows: Mapping[Path, Path] = field(default_factory=dict)
    writes: Mapping[Path, Path] = field(default_factory=dict)


# ---- what this machine can do
@cache
def why_not() -> str | None:
    """Why processes cannot run in a box here; None where they can."""
    if shutil.which("bwrap") is None:
        return "bubblewrap (bwrap) is not installed"
    error = _fails([*_boxed(View()), sys.executable, "-c", ""])  # Python, as what it needs may lie anywhere
    return None if error is None else f"the system does not let bubblewrap make one ({error})"


def why_not_to_see(folder: Path) -> str | None:
    """Why a process in a box could not read what lies in `folder` for the node alone; None where it could.

    Root in a box reads what is root's, and nothing that another account has closed to others.
    """
    with contextlib.suppress(OSError):  # not there yet: the node makes it
        if os.geteuid() == 0 and (owner := folder.stat().st_uid) != 0:
            return f"{folder} belongs to account {owner}, and root in a box cannot read what others own"
    return None


@cache
def _without_network() -> tuple[str, ...]:
    """What is put before a command so that it has no network, without a box; nothing where that is forbidden."""
    command = (shutil.which("unshare") or "unshare", "--user", "--net", "--ipc", "--")
    return command if _fails([*command, "true"]) is None else ()


def _fails(command: Sequence[str]) -> str | None:
    try:
        done = subprocess.run(command, stdin=subprocess.DEVNULL, capture_output=True, timeout=PROBE_S, check=False)
    except (OSError, subprocess.TimeoutExpired) as error:
        return type(error).__name__
    said = done.stderr.decode(errors="replace").strip().splitlines()
    return None if done.returncode == 0 else (said[-1] if said else f"exit code {done.returncode}")


def without_box() -> str:
    """A sentence on what processes can reach that run without a box here."""
    network = "they have no network, but" if _without_network() else "they have the network, and"
    return f"{network} read and write whatever the node's account can"


# ---- starting and ending
class Process:
    """Python in a box, or as far apart as this machine lets it.

    Parameters
    ----------
    command
        Arguments of Python.
    view
        What it sees, in a box; None: it runs without one.
    descriptor
        Of a connection, the only thing that it inherits.
    log
        Where its standard output and error go: into a pipe, as it could read and empty a file.
    environment
        Beside what `environment_of` passes on.
    """

    def __init__(
        self, command: Sequence[str], view: View | None, descriptor: int, log: logging.Logger, **environment: str
    ) -> None:
        self._in_box = view is not None
        before = _without_network() if view is None else _boxed(view)
        output, its_output = os.pipe()
        try:
            self._process = _starter.submit(
                subprocess.Popen[bytes],
                [*_first_when_memory_is_short(), *before, sys.executable, *command],
                pass_fds=(descriptor,),
                stdin=subprocess.DEVNULL,
                stdout=its_output,
                stderr=its_output,
                start_new_session=True,  # Ctrl-C is for the node, which then ends things in order
                env=environment_of(os.environ, in_box=self._in_box) | LOG_FORMAT | environment,
            ).result()
        except BaseException:
            os.close(output)
            raise
        finally:
            os.close(its_output)
        self.pid = self._process.pid
        self._relay = relay(output, log, f"process {self.pid}")

    @property
    def alive(self) -> bool:
        """Whether it is still there."""
        return self._process.poll() is None

    def takes_more_than(self, limit_bytes: int) -> bool:
        """Whether it and all that it started have more memory than that; what they share counts once."""
        pids = (self.pid, *_descendants(self.pid))
        return sum(map(_resident, pids)) > limit_bytes and sum(map(_share, pids)) > limit_bytes

    @property
    def tasks(self) -> int:
        """How many processes it and those that it started are, their threads counted too."""
        return sum(_tasks(pid) for pid in (self.pid, *_descendants(self.pid)))

    def end(self, patience_s: float = 0.0) -> int:
        """End it, with all that it started in a box; its exit code, or minus the signal that ended it.

        Parameters
        ----------
        patience_s
            For one that is about to end by itself.
        """
        code = self._end(patience_s)
        self._relay.join(LAST_WORDS_S)  # what it said stands in the log before what comes of its end
        return code

    def _end(self, patience_s: float) -> int:
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._code(self._process.wait(patience_s))
        inner = _children(self.pid) if self._in_box else []
        for pid in inner:
            with contextlib.suppress(ProcessLookupError):
                os.kill(pid, signal.SIGKILL)  # all others of its namespace end before it does, and then bwrap
        if not inner:
            self._process.kill()
        try:
            return self._code(self._process.wait(PATIENCE_S))
        except subprocess.TimeoutExpired:
            self._process.kill()
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self._code(self._process.wait(PATIENCE_S))
        return -signal.SIGKILL  # it hangs in the system, as on storage that is away: that ends it when it lets go

    def _code(self, code: int) -> int:
        return 128 - code if self._in_box and code > 128 else code  # bwrap tells a signal as a shell does


def environment_of(whole: Mapping[str, str], *, in_box: bool) -> dict[str, str]:
    """Of the node's environment, what such a process is to have: how to compute and to write, and no secret."""
    passed = {name: value for name, value in whole.items() if name in PASSED_ON or name.startswith(PASSED_ON_BY_PREFIX)}
    passed["PYTHONPATH"] = os.pathsep.join(str(folder) for folder in _roots())
    if in_box:
        passed |= {"HOME": "/tmp", "USER": "nobody", "LOGNAME": "nobody", "TMPDIR": "/tmp", IN_BOX: "1"}
    elif "HOME" in whole:
        passed["HOME"] = whole["HOME"]
    return passed


def hold_to(limits: Mapping[int, int]) -> None:
    """Have the kernel hold this process to limits, by their numbers in `resource`; those that are lower stay."""
    for what, limit in limits.items():
        hard = resource.getrlimit(what)[1]
        least = limit if hard == resource.RLIM_INFINITY else min(limit, hard)
        resource.setrlimit(what, (least, least))


def settle_in() -> None:
    """For the start of such a process: it ends with the node, gets no further privileges, few open files and tasks."""
    hold_to({resource.RLIMIT_NOFILE: OPEN_FILES, resource.RLIMIT_NPROC: TASKS})
    libc = ctypes.CDLL(None)
    libc.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL, 0, 0, 0)  # of the thread that started it, which stays
    libc.prctl(_PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0)


def _resident(pid: int) -> int:
    """Bytes in memory, shared ones too; 0 where the system does not say."""
    try:
        return int(Path(f"/proc/{pid}/statm").read_text().split()[1]) * resource.getpagesize()
    except (OSError, IndexError):
        return 0


def _share(pid: int) -> int:
    """Bytes in memory, of those that n processes share an nth; the system takes some time to tell."""
    with contextlib.suppress(OSError):
        for line in Path(f"/proc/{pid}/smaps_rollup").read_text().splitlines():
            if line.startswith("Pss:"):
                return int(line.split()[1]) * 1024
    return _resident(pid)


def _tasks(pid: int) -> int:
    try:
        return len(os.listdir(f"/proc/{pid}/task"))
    except OSError:
        return 0


def _children(pid: int) -> list[int]:
    found = []
    with contextlib.suppress(OSError):
        for task in os.listdir(f"/proc/{pid}/task"):
            with contextlib.suppress(OSError):
                found += [int(word) for word in Path(f"/proc/{pid}/task/{task}/children").read_text().split()]
    return found


def _descendants(pid: int) -> Iterator[int]:
    for child in _children(pid):
        yield child
        yield from _descendants(child)


@cache
def _first_when_memory_is_short() -> tuple[str, ...]:
    """If memory runs out, the kernel is to end such a process, not the node."""
    command = (shutil.which("choom") or "choom", "-n", "1000", "--")
    return command if _fails([*command, "true"]) is None else ()


# ---- the box
def _boxed(view: View) -> list[str]:
    """The command that makes a box, to stand before another command."""
    words = [shutil.which("bwrap") or "bwrap", *NEW_NAMESPACES, "--proc", "/proc", "--dev", "/dev"]

    def bind(option: str, source: Path | str, place: Path | str) -> None:
        words.extend((option, str(source), str(place)))

    gpus = [path for pattern in GPU_DEVICES for path in sorted(Path("/dev").glob(pattern))]
    for device in gpus:
        bind("--dev-bind-try", device, device)
    for name in (*SYSTEM, *(WITH_GPU if gpus else ())):
        _bind_system(words, Path(name))
    if view.scratch is not None:
        for writable in ("/tmp", "/dev/shm"):
            bind("--bind", view.scratch, writable)
    covered = [path for path in view.reads if view.covers is not None and path.is_relative_to(view.covers)]
    for path in (*_python(), *(path for path in view.reads if path not in covered)):
        bind("--ro-bind-try", path, path)
        if (real := path.resolve()) != path:
            bind("--ro-bind-try", real, real)
    if view.covers is not None:
        words += ["--tmpfs", str(view.covers)]
    for path in covered:
        bind("--ro-bind-try", path, path)
    for place, source in view.shows.items():
        bind("--ro-bind", source, place)
    for place, source in view.writes.items():
        bind("--bind", source, place)
    if view.covers is not None:
        words += ["--remount-ro", str(view.covers)]
    # root without capabilities may still write to parts of /proc, as to the program that takes core dumps
    return [*words, "--remount-ro", "/proc", "--remount-ro", "/dev", "--remount-ro", "/", "--chdir", "/", "--"]


def _bind_system(words: list[str], path: Path) -> None:
    if path.is_symlink() and len(path.parts) == 2:  # /lib of most systems
        words.extend(("--symlink", os.readlink(path), str(path)))
    else:
        words.extend(("--ro-bind-try", str(path), str(path)))


def _python() -> tuple[Path, ...]:
    """Python, what is installed for it, and the packages that hold pipelines; not the folders that these lie in."""
    installed = _prefixes()
    libraries = [Path(one) for one in os.environ.get("LD_LIBRARY_PATH", "").split(os.pathsep) if one]
    return (*installed, *libraries, *(path for root in _roots() for path in _packages_in(root)))


def _prefixes() -> tuple[Path, ...]:
    return tuple(dict.fromkeys(Path(one) for one in (sys.prefix, sys.exec_prefix, sys.base_prefix)))


def _roots() -> tuple[Path, ...]:
    """The folders outside of Python's own that packages are imported from, in the order of the search."""
    given = os.environ.get("PYTHONPATH", "").split(os.pathsep)
    found = [Path(one) for one in (*given, *sys.path) if one] + [above for name in _needed() for above in _above(name)]
    return tuple(
        dict.fromkeys(
            path.absolute()
            for path in found
            if path.is_dir() and not any(path.is_relative_to(prefix) for prefix in _prefixes())
        )
    )


def _needed() -> tuple[str, ...]:
    """The packages that the node's processes import, those of pipelines from elsewhere too."""
    declared = (one.module.partition(".")[0] for one in entry_points(group=PIPELINES))
    return tuple(dict.fromkeys([__name__.partition(".")[0], *declared]))


def _above(package: str) -> Iterator[Path]:
    with contextlib.suppress(ImportError, ValueError):
        spec = find_spec(package)
        if spec is not None and spec.origin:
            file = Path(spec.origin)
            yield file.parents[1] if file.name == "__init__.py" else file.parent


def _packages_in(root: Path) -> list[Path]:
    """What can be imported from a folder, without what else lies there, such as a configuration or data."""
    if root.name in _INSTALLED:  # an account's own, where nothing else lies
        return [root]
    return [
        path
        for path in sorted(root.iterdir())
        # not Path.is_file, which fails on folders that are closed, such as /lost+found where the node is started in /
        if path.suffix in _OF_PYTHON or path.name in _needed() or os.path.isfile(path / "__init__.py")
    ]
