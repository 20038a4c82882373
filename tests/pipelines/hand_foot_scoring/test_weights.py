"""The bundle."""

from __future__ import annotations

from pipelines.hand_foot_scoring import BUNDLE, FILES, HandFootScoring, HandFootScoringSettings


def test_the_shipped_bundle_is_whole_and_small(networks: None) -> None:
    for name in FILES:
        assert (BUNDLE / name).exists(), name
        assert (BUNDLE / name).stat().st_size < 4 * 1024 * 1024
    assert len(HandFootScoring(HandFootScoringSettings()).model.weights_digest) == 64
