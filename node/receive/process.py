"""The receiver as a process: signals, database, the word that it is ready, and a configuration that is read anew."""

from __future__ import annotations

import logging
import os
import signal
import threading
from pathlib import Path

import pydicom

from node.background import database_outage
from node.config import Configuration
from node.config.reading import read_leniently
from node.config.reload import merged
from node.data_folder import keep_private, prepare
from node.database.connection import open_database, opening_errors
from node.database.installation import require_one_installation
from node.errors import ConfigurationError
from node.processes import IN_FORCE, PARENT_VARIABLE, READY, REMARK, TROUBLE, say
from node.receive.receiver import Receiver

log = logging.getLogger(__name__)

LOOK_S = 0.5


class _InForce:
    """The configuration that the process receives by, and the file that it is read from anew."""

    def __init__(self, path: Path) -> None:
        self._path = path
        self.configuration, self.digest = _read(path)

    def read_anew(self, receiver: Receiver) -> None:
        """Have what can change without a restart change; what is wrong with the file changes nothing."""
        try:
            wanted, digest = _read(self._path)
        except ConfigurationError as error:  # the node has read the file before, and says what is wrong
            log.warning("configuration not read", extra={"reason": str(error)})
            return
        self.configuration = merged(self.configuration, wanted)
        receiver.reconfigure(self.configuration)
        self.digest = digest


def _read(path: Path) -> tuple[Configuration, str]:
    reading = read_leniently(path)
    if reading.mistakes:
        raise ConfigurationError("\n".join(reading.file.listed(reading.results())))
    return reading.configuration, reading.file.digest


def serve(path: Path) -> None:
    """Receive with the configuration in `path` until SIGTERM or SIGINT; SIGHUP has it read anew.

    Raises
    ------
    NodeError
        If it cannot begin; nothing has been received then.
    """
    keep_private()
    # what stands in a header is the sender's business, and a warning would quote it
    pydicom.config.settings.reading_validation_mode = pydicom.config.IGNORE
    if PARENT_VARIABLE in os.environ:  # the node itself says that the database is away
        database_outage.level = logging.DEBUG
    stop, reload = threading.Event(), threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
    signal.signal(signal.SIGHUP, lambda *_: reload.set())
    in_force = _InForce(path)
    configuration = in_force.configuration
    with opening_errors(configuration):
        database = open_database(configuration.node.database_url)
        if PARENT_VARIABLE not in os.environ:  # in a node its parent has done so, and this costs time and memory
            prepare(configuration.node.data)
            from node.database.migrations import migrate

            migrate(database)
        require_one_installation(database, configuration.node.data)
    parent = os.getppid()
    with Receiver(configuration, database) as receiver:
        say(READY, receiver.server.port)
        say(IN_FORCE, in_force.digest)
        told = {TROUBLE: "", REMARK: ""}
        while not stop.wait(LOOK_S):
            if reload.is_set():
                reload.clear()
                in_force.read_anew(receiver)
                say(IN_FORCE, in_force.digest)
            for word, ask in ((TROUBLE, receiver.problem), (REMARK, receiver.remark)):
                if (now := ask() or "") != told[word]:
                    say(word, now)
                    told[word] = now
            if os.getppid() != parent:  # orphaned: the node's next start must find the port free
                break
    database.dispose()
