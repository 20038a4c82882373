"""Does a profile ask for what the viewer that it names does not show?"""

from __future__ import annotations

from collections.abc import Iterator

from dicom_sr.profile import UNSHOWN
from node.config.check_result import CheckResult
from node.config.sections import Configuration


def viewers(configuration: Configuration) -> Iterator[CheckResult]:
    """What a profile asks for and will not be done."""
    for name, destination in configuration.destinations.items():
        profile = destination.profile
        named = profile.kinds if "kinds" in profile.model_fields_set else ()
        for kind in (kind for kind in named if kind in UNSHOWN[profile.viewer]):
            sentence = f"{kind}: is not sent, since viewer: {profile.viewer} does not show it"
            yield CheckResult(f"destinations.{name}.profile.kinds", "doubtful", sentence)
        regions = profile.segmented_regions if "segmented_regions" in profile.model_fields_set else "outline"
        if profile.viewer == "ohif" and regions == "segment":
            sentence = "segment: is not done, since viewer: ohif opens no report that refers to a segment; outline is"
            yield CheckResult(f"destinations.{name}.profile.segmented_regions", "doubtful", sentence)
