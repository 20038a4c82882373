"""A real PostgreSQL on a free loopback port with a throwaway data folder."""

from __future__ import annotations

import os
import pwd
import shutil
import signal
import subprocess
import time
from pathlib import Path
from types import TracebackType

from tests.needs import missing
from tests.orthanc import free_port

START_TIMEOUT_S = 30.0


def programs() -> Path:
    """The folder with initdb and postgres; skips where there is none."""
    candidates = [Path(found).resolve().parent] if (found := shutil.which("initdb")) else []
    candidates += sorted(Path("/usr/lib/postgresql").glob("*/bin"), reverse=True)
    return next((folder for folder in candidates if (folder / "postgres").exists()), None) or missing(
        "PostgreSQL's server programs are not installed"
    )


class Postgres:
    """One server; a context manager. Each `database` is a new, empty one."""

    def __init__(self, folder: Path) -> None:
        self._programs, self._folder, self._port = programs(), folder, free_port()
        self._log = folder / "server.log"
        self._process: subprocess.Popen[bytes] | None = None
        self._made = 0
        # it refuses to run as root
        self._user = "postgres" if os.geteuid() == 0 else pwd.getpwuid(os.geteuid()).pw_name

    def __enter__(self) -> Postgres:
        if os.geteuid() == 0:
            account = pwd.getpwnam(self._user)
            for parent in [self._folder, *self._folder.parents]:
                if parent.stat().st_uid == 0 and not parent.stat().st_mode & 0o001:
                    parent.chmod(parent.stat().st_mode | 0o011)  # pytest's folders are for their owner only
            os.chown(self._folder, account.pw_uid, account.pw_gid)
        self._run("initdb", "-D", str(self._folder / "data"), "-U", "condyle", "-A", "trust", "--no-sync", "-E", "UTF8")
        self.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    def start(self) -> None:
        """Start the server and wait until it answers."""
        command = [
            str(self._programs / "postgres"),
            *("-D", str(self._folder / "data"), "-p", str(self._port), "-k", str(self._folder), "-h", "127.0.0.1"),
            "-F",  # no test cuts the power; after a crash it would flush every file of all databases before it answers
        ]
        with self._log.open("ab") as log:
            self._process = subprocess.Popen(command, user=self._user, cwd=self._folder, stdout=log, stderr=log)
        deadline = time.monotonic() + START_TIMEOUT_S
        while self._ask("pg_isready", "-q", "-d", "postgres").returncode != 0:
            assert self._process.poll() is None, f"PostgreSQL did not start: {self._told()}"
            assert time.monotonic() < deadline, f"PostgreSQL does not answer: {self._told()}"
            time.sleep(0.05)

    def stop(self) -> None:
        """Stop the server at once, as a crash would."""
        if self._process is not None:
            self._process.send_signal(signal.SIGQUIT)  # PostgreSQL's "immediate" shutdown
            self._process.wait()
            self._process = None

    def database(self) -> str:
        """The URL of a new, empty database."""
        self._made += 1
        name = f"condyle{self._made}"
        self._run("createdb", "-h", "127.0.0.1", "-p", str(self._port), "-U", "condyle", name)
        return f"postgresql+psycopg://condyle@127.0.0.1:{self._port}/{name}"

    def _ask(self, program: str, *arguments: str) -> subprocess.CompletedProcess[bytes]:
        where = ("-h", "127.0.0.1", "-p", str(self._port), "-U", "condyle")
        return subprocess.run([str(self._programs / program), *where, *arguments], capture_output=True, check=False)

    def _run(self, program: str, *arguments: str) -> None:
        command = [str(self._programs / program), *arguments]
        done = subprocess.run(command, user=self._user, cwd=self._folder, check=False, capture_output=True)
        assert done.returncode == 0, f"{program}: {done.stderr.decode()}{self._told()}"

    def _told(self) -> str:
        """The end of what the server has logged."""
        return self._log.read_text(errors="replace")[-2000:] if self._log.exists() else ""
