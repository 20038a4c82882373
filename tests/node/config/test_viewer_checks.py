"""What of a profile its viewer would not show."""

from __future__ import annotations

from pathlib import Path

from node.config import read
from node.config.viewer_checks import viewers


def test_a_kind_that_is_named_for_ohif_and_not_shown_by_it_is_told(tmp_path: Path) -> None:
    (tmp_path / "config.yaml").write_text(
        "destinations:\n"
        "  named: {kind: folder, path: a, profile: {viewer: ohif, kinds: [report, key_objects]}}\n"
        "  short: {kind: folder, path: b, profile: ohif}\n"
        "  other: {kind: folder, path: c, profile: {kinds: [report, key_objects]}}\n"
        "  lines: {kind: folder, path: d, profile: {viewer: ohif, segmented_regions: segment}}\n"
    )
    configuration = read(tmp_path / "config.yaml")
    kinds, regions = viewers(configuration)
    assert (kinds.key, kinds.state) == ("destinations.named.profile.kinds", "doubtful")
    assert kinds.sentence == "key_objects: is not sent, since viewer: ohif does not show it"
    assert (regions.key, regions.state) == ("destinations.lines.profile.segmented_regions", "doubtful")
    assert regions.sentence.startswith("segment: is not done, since viewer: ohif opens no report")
    assert configuration.destinations["short"].profile.viewer == "ohif"
