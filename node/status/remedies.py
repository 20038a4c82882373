"""What to do about a fault, in one sentence: by its kind, and by what its reason says."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

# By kind: the first that the reason has in it counts, and the last has everything.
_REMEDIES: Mapping[str, Sequence[tuple[str, str]]] = {
    "failed jobs": (
        ("memory", "Raise run.memory_limit_mb, or run fewer workers, then restart the jobs."),
        ("time_limit|too long|timed out", "Raise run.time_limit_s, or see why it took so long, then restart them."),
        ("[Cc]ancelled", "An operator ended it; restart it if it should run after all."),
        ("weights|bundle|digest", "The page Models says which version cannot be loaded; put it right, then restart."),
        ("signal|ended|worker", "The log of that time says more; if the images are not at fault, restart them."),
        ("cannot be read|is missing|not whole", "See that node.data is there and whole, then restart the jobs."),
        ("rejected|withdrawn", "Nothing: the images, or the result, were taken back."),
        ("", "Open an example: its timeline says what happened; put that right, then restart the jobs."),
    ),
    "unsuitable jobs": (
        ("slice|thickness|spacing|orientation", "Ask for such series more narrowly: try a change of the route."),
        ("[Mm]odality|body part|part of the body", "Ask for other series: try a change of the route."),
        ("patients", "The study mixes patients: have it corrected at its source, and sent again."),
        ("record|history", "Send the record first, or have the node fetch it (records.fhir), then restart the jobs."),
        ("", "The images are not what the pipeline takes: nothing to do, or try a change of the route."),
    ),
    "instances not stored": (
        ("0xA700", "Make room on the disk of node.data, or lower receive.disk_floor_mb; have them sent again."),
        ("0xC002", "Another object has that UID: erase its study if that is wrong, or have the sender give new UIDs."),
        ("0xC000|0xA9", "The images are damaged or incomplete: have them sent again from their source."),
        ("", "Have whoever keeps the sender correct what the status says, and send them again."),
    ),
    "images not read": (("", "Have the images sent again, or reroute the study to have them read once more."),),
    "refused associations": (
        ("peers|calling", "If it may send, add its AE title and network to peers."),
        ("called", "Have it call node.ae_title, or add the title to receive.dimse.ae_titles."),
        (
            "maximum|too many|busy|limit",
            "Raise maximum_associations of the peer or the port.",
        ),
        ("address|network", "If it may send from there, add the network to its peer."),
        ("TLS|certificate", "Compare the certificates of both sides: receive.dimse.tls, and the peer's."),
        ("", "If the sender is known, add or correct it under peers; else nothing."),
    ),
    "refused contexts": (("", "It offers what the node does not take; what it sends otherwise is not concerned."),),
    "deliveries refused": (
        ("0xA7|resources|full", "The destination has no room: tell whoever keeps it, then send again."),
        ("class|accept|context", "Leave that kind out of the destination's profile, or have it take the class."),
        ("401|403|denied|authori[sz]|token", "Renew the destination's token or certificate, then send again."),
        ("404", "Correct the destination's address, then send again."),
        ("", "Open an example for the destination's last word; put it right, then send again."),
    ),
    "files not taken": (
        ("DICOM", "Take it out of the watched folder if it is no DICOM file; else have it written anew."),
        ("", "Correct the file, or take it out of the watched folder."),
    ),
    "patient records not read": (("", "Have the sender correct the message; no record was changed by it."),),
    "studies not fetched": (("", "See that the archive answers and has the study, then ask again."),),
    "callbacks that failed": (
        ("401|403", "Renew the receiver's token under run_requests.callbacks."),
        ("", "See that the receiver answers at its address; those that wait are tried again by themselves."),
    ),
    "verdicts left alone": (("", "The report is stored; docs/verdicts.md says how other codes are named."),),
}


def remedy(kind: str, reason: str) -> str:
    """What to do.

    Parameters
    ----------
    kind
        A `node.status.failures.Kind`.
    reason
        With marks for what differs.
    """
    return next((sentence for has, sentence in _REMEDIES[kind] if re.search(has, reason)), "")
