"""`condyle resend`: give an archive again what it took, after it was restored from an older copy."""

from __future__ import annotations

from datetime import datetime
from pathlib import Path

from dicom_sr.words import counted
from node.actions.resending import Resending
from node.commands.exit_codes import NOT_RIGHT, OK, USAGE
from node.commands.open_database import opened
from node.commands.operator import operator
from node.commands.terminal import console
from node.route.by_hand import UnknownName


def resend(to: str, since: datetime, config: Path, *, dry_run: bool) -> int:
    """Have the outbox send again all that a destination took since then: the same bytes under the same UIDs.

    Parameters
    ----------
    to
        Name of the destination.
    since
        When it took what it may have lost, at the earliest.
    config
        The configuration file.
    dry_run
        Only say how much it would be.
    """
    out, complaints = console(), console(error=True)
    configuration, database = opened(config)
    resending = Resending(configuration, database)
    try:
        taken = resending.taken(to, since) if dry_run else resending.send_again(to, since, operator())
    except UnknownName as error:
        complaints.print(f"--to: {str(error).partition(': ')[2]}", markup=False)
        return USAGE
    sent = "would be" if dry_run else "is" if taken.objects == 1 else "are"
    out.print(f"{counted(taken.objects, 'object')} of {counted(len(taken.jobs), 'job')} {sent} sent to {to} again")
    if taken.gone:
        what = f"{counted(taken.gone, 'object')} {'is' if taken.gone == 1 else 'are'} no longer stored"
        complaints.print(f"{what} (run.keep_jobs_days); condyle reroute runs the pipeline again")
    return NOT_RIGHT if taken.gone else OK
