"""The receiver as a process: signals, database, and the word that it is ready."""

from __future__ import annotations

import logging
import os
import signal
import threading

import pydicom

from node.background import database_outage
from node.config import Configuration
from node.data_folder import keep_private, prepare
from node.database.connection import open_database, opening_errors
from node.database.installation import require_one_installation
from node.processes import PARENT_VARIABLE, READY, REMARK, TROUBLE, say
from node.receive.receiver import Receiver


def serve(configuration: Configuration) -> None:
    """Receive until SIGTERM or SIGINT.

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
    stop = threading.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: stop.set())
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
        told = {TROUBLE: "", REMARK: ""}
        while not stop.wait(1.0):
            for word, ask in ((TROUBLE, receiver.problem), (REMARK, receiver.remark)):
                if (now := ask() or "") != told[word]:
                    say(word, now)
                    told[word] = now
            if os.getppid() != parent:  # orphaned: the node's next start must find the port free
                break
    database.dispose()
