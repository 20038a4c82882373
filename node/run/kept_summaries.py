"""The summaries of results whose files are still kept."""

from __future__ import annotations

import json
from collections.abc import Iterable
from pathlib import Path
from typing import Any

from node.data_folder import job_folder
from node.run.job_folder import SUMMARY


def kept_summaries(data: Path, job_ids: Iterable[str]) -> dict[str, Any]:
    """By job, what `node.run.result_summary` wrote; jobs whose files were deleted are left out.

    Parameters
    ----------
    data
        The data folder.
    job_ids
        Of the jobs.
    """
    found: dict[str, Any] = {}
    for job in job_ids:
        try:
            found[job] = json.loads((job_folder(data.absolute(), job) / SUMMARY).read_text(encoding="utf-8"))
        except (OSError, ValueError):
            continue
    return found
