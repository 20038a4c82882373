"""The page docs/codes.md: the codes of Condyle's scheme, whichever pipeline brings them.

``python -m pipelines.codes_page > docs/codes.md`` writes it; a test keeps it up to date.
"""

from __future__ import annotations

import sys

from dicom_sr.codes import CONDYLE, reviewed_table, scheme_table
from pipelines import registry
from pipelines.monai_bundle import codes as of_bundles
from pipelines.svh_sites import SVH_MAXIMUM, SVH_SITES, sites_table


def as_markdown() -> str:
    """The page as text."""
    for name in registry.names():
        registry.pipeline_type(name)  # its package adds its codes
    assert of_bundles.PROBABILITY.value in CONDYLE  # and that of bundles its own
    hand, foot = (sum(site.limb == limb for site in SVH_SITES) for limb in ("hand", "foot"))
    return f"""# Codes

`python -m pipelines.codes_page` writes this page from `dicom_sr/codes.py`, `pipelines/svh_sites.py` and the
`codes.py` of each pipeline; a test keeps this page up to date.

{scheme_table(CONDYLE)}

## Sharp/van der Heijde sites

On each side: {hand} sites of the hand and {foot} of the foot. The maxima of both sides add up to {SVH_MAXIMUM}.

{sites_table()}

## SNOMED CT codes outside DICOM's own content

These are sent only if the profile of a destination says that the site may use them; otherwise the private code is sent.

{reviewed_table(CONDYLE)}
"""


if __name__ == "__main__":
    sys.stdout.write(as_markdown())
