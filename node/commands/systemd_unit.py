"""The systemd unit of a node, as closed as a node can run that makes boxes for its pipelines (`node.box`)."""

from __future__ import annotations

import re
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

STATE = Path("/var/lib/condyle")  # which systemd makes for the account of the unit (StateDirectory=)
PLACE = Path("/etc/systemd/system/condyle.service")
_HOMES = (Path("/home"), Path("/root"), Path("/run/user"))  # what ProtectHome= hides

TEXT = """# systemd unit of Condyle, as `condyle init` wrote it; man systemd.exec explains each line.
[Unit]
Description=Condyle, a musculoskeletal AI node for a PACS
Wants=network-online.target
After=network-online.target
RequiresMountsFor={mounts}

[Service]
Type=exec
User={account}
# nothing is imported from the folder that it is started in
Environment=PYTHONSAFEPATH=1
ExecStart={command}
ExecReload=/bin/kill -HUP $MAINPID
Restart=on-failure
RestartSec=5
# 2 and 3: the command line or the configuration is wrong, and stays so
RestartPreventExitStatus=2 3
# the node ends its own processes, in order
KillMode=mixed
TimeoutStopSec=60

# What it may write
UMask=0077
ProtectSystem=strict
{writable}
PrivateTmp=yes
ProtectHome={home}

# What it may do
NoNewPrivileges=yes
CapabilityBoundingSet=
RestrictSUIDSGID=yes
RestrictRealtime=yes
LockPersonality=yes
ProtectKernelModules=yes
ProtectControlGroups=yes
SystemCallArchitectures=native
SystemCallErrorNumber=EPERM
SystemCallFilter=@system-service @mount sethostname
RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK
{devices}
# Pipelines run in boxes that bubblewrap makes, with namespaces, mounts, a /proc and a host name of their own. So these
# may NOT be set; without boxes the node goes on with a warning, or does not start where run.box is required:
#   RestrictNamespaces=, ProtectHostname=    a box has namespaces, and a name in one of them
#   ProtectProc=, ProcSubset=, ProtectKernelTunables=, ProtectKernelLogs=
#                                            hide parts of /proc; kernels then refuse a box its own
#   AmbientCapabilities=                     bubblewrap ends if it has any. For a port below 1024 set
#                                            net.ipv4.ip_unprivileged_port_start by sysctl
#   SystemCallFilter= without @mount and sethostname; RestrictAddressFamilies= without AF_NETLINK
# And these not for other reasons:
#   MemoryDenyWriteExecute=                  the libraries of the models compile code as they run
#   PrivateUsers=                            takes groups away, such as one that may read a key or use a GPU

[Install]
WantedBy=multi-user.target
"""
NO_DEVICES = """# this machine has no GPU; with one, leave these two out: they hide it
PrivateDevices=yes
ProtectClock=yes
"""
DEVICES = """# PrivateDevices= and ProtectClock= are not set: they hide the GPU
"""


@dataclass(frozen=True)
class Unit:
    """What the unit is made from."""

    account: str
    config: Path  # whole, as all others
    data: Path
    folders: tuple[Path, ...]  # others that the node writes to
    gpu: bool

    @property
    def outside(self) -> tuple[Path, ...]:
        """The folders that the node writes to and that systemd does not make."""
        return tuple(path for path in dict.fromkeys((self.data, *self.folders)) if not path.is_relative_to(STATE))

    @property
    def text(self) -> str:
        """The unit as a file."""
        state = [f"StateDirectory={STATE.name}\nStateDirectoryMode=0700"] if self._in_state else []
        paths = [f"ReadWritePaths={' '.join(map(quoted, self.outside))}"] if self.outside else []
        return TEXT.format(
            mounts=" ".join(map(quoted, (self.config, self.data))),
            account=self.account,
            command=" ".join(
                quoted(word).replace("$", "$$") for word in (*program(), "serve", self.config, "--log", "console")
            ),
            writable="\n".join(state + paths),
            home="read-only" if self._at_home else "yes",
            devices=DEVICES if self.gpu else NO_DEVICES,
        )

    @property
    def _in_state(self) -> bool:
        return any(path.is_relative_to(STATE) for path in (self.data, *self.folders))

    @property
    def hidden(self) -> tuple[Path, ...]:
        """What the unit needs and lies in root's home, where no other account may look."""
        return tuple(path for path in self._needed if path.is_relative_to("/root"))

    @property
    def _at_home(self) -> bool:
        """Whether anything that the unit needs lies where ProtectHome= would hide it."""
        return any(path.is_relative_to(home) for path in self._needed for home in _HOMES)

    @property
    def _needed(self) -> tuple[Path, ...]:
        code = dict.fromkeys((Path(sys.prefix), Path(sys.base_prefix), Path(__file__).parents[1]))
        return (*code, self.config, self.data, *self.folders)


def program() -> Sequence[str | Path]:
    """How `condyle` is called: by its script where there is one."""
    script = Path(sys.executable).with_name("condyle")
    return (script,) if script.exists() else (sys.executable, "-m", "node")


def quoted(word: str | Path) -> str:
    """A word as systemd reads it back: nothing in it is a specifier or ends it."""
    text = str(word).replace("\\", "\\\\").replace("%", "%%")
    return text if re.fullmatch(r"[\w./:@+%=$-]+", text) else '"' + text.replace('"', '\\"') + '"'
