"""The localiser: what it is shown, what its loss counts, and that it learns."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch

from pipelines.hand_foot_scoring.canvas import CANVAS
from pipelines.hand_foot_scoring.network import CHILD, INVERTED, OTHER_POSE, Localiser
from pipelines.hand_foot_scoring.simulation.films import Film
from pipelines.hand_foot_scoring.sites import CLASSES
from pipelines.hand_foot_scoring.training import localiser
from pipelines.hand_foot_scoring.training.localiser import (
    NOT_SAID,
    Samples,
    _again,
    _piece,
    child_sample,
    learn_children,
    mask_loss,
    rate,
    sample,
    sign_loss,
    train_localiser,
)
from pipelines.lab.checkpoint import Checkpoint
from pipelines.lab.training_log import Report


def test_a_sample_has_a_mask_only_where_the_limb_stands_upright() -> None:
    masked = 0
    for seed in range(16):
        canvas, mask, pose, signs = sample(np.random.default_rng(seed))
        assert canvas.shape == (2, *CANVAS)
        assert 0 <= pose <= OTHER_POSE
        if pose not in (0, 8, OTHER_POSE) or signs[INVERTED]:  # turned, mirrored, in another view, or bone is dark
            assert np.isin(mask, (0, 255)).all()
        else:
            masked += bool((mask < 255).any())
    assert masked >= 4


def test_a_sign_of_which_a_sample_says_nothing_does_not_count() -> None:
    logits = torch.tensor([[0.0, 3.0], [50.0, -2.0]])
    signs = torch.tensor([[1.0, 1.0], [NOT_SAID, 0.0]])
    before = sign_loss(logits, signs)
    logits[1, 0] = -50.0
    torch.testing.assert_close(sign_loss(logits, signs), before)


def test_a_film_that_is_turned_or_mirrored_takes_its_sites_and_its_pose_along() -> None:
    image = np.zeros(CANVAS, np.float32)
    image[60:64, 88:92] = 1.0
    made = Film(image, 1.0, "hand", "L", 0, {"MCP3": (89.5, 61.5)}, {"MCP3": "evaluable"}, {}, {})
    poses = set()
    for seed in range(40):
        again = _again(made, np.random.default_rng(seed))
        row, column = np.unravel_index(again.image.argmax(), CANVAS)
        assert again.sites["MCP3"] == pytest.approx((column, row), abs=3.5)
        up = np.array(again.sites["MCP3"]) - (95.5, 127.5)  # from the middle of the canvas, which hardly moves
        nearest = round(float(np.arctan2(up[0], -up[1])) / (np.pi / 2)) % 4
        assert nearest == again.quarter_turns
        poses.add((again.side, again.quarter_turns))
    assert len(poses) == 8


def test_a_piece_of_a_limb_with_few_of_its_sites_is_no_limb() -> None:
    spread = {f"{n}": (20.0 + 16 * n, 30.0 + 20 * n) for n in range(10)}
    made = Film(np.zeros(CANVAS, np.float32), 1.0, "foot", "L", 0, spread, dict.fromkeys(spread, "evaluable"), {}, {})
    parts = []
    for seed in range(40):
        piece = _piece(made, np.random.default_rng(seed))
        parts.append(piece.part)
        seen = sum(state == "evaluable" for state in piece.states.values())
        assert (piece.part == "foot") == (seen >= 6)
    assert {"foot", "other"} == set(parts)


def test_a_film_without_sites_is_not_cut_into_pieces() -> None:
    made = Film(np.zeros(CANVAS, np.float32), 1.0, "hand", "L", 0, {}, {}, {}, {}, view="lateral")
    assert _piece(made, np.random.default_rng(0)) is made


def test_samples_repeat_for_the_same_seed() -> None:
    first, again = (next(iter(Samples(3))) for _ in range(2))
    np.testing.assert_array_equal(first[0], again[0])


def test_children_and_adults_are_shown_alike_often_and_fill_the_canvas() -> None:
    shown = [child_sample(np.random.default_rng(seed)) for seed in range(24)]
    assert all(canvas.shape == (2, *CANVAS) for canvas, _ in shown)
    assert 6 <= sum(child for _, child in shown) <= 18


def test_the_sign_of_growth_plates_learns_and_leaves_the_rest_of_the_network_alone() -> None:
    torch.manual_seed(0)
    network = Localiser().eval()
    before = {name: value.clone() for name, value in network.state_dict().items()}
    learn_children(network, 0, 2)
    changed = {name for name, value in network.state_dict().items() if not torch.equal(value, before[name])}
    assert changed
    assert all(name.startswith(f"signs.{CHILD}.") for name in changed)


def test_ignored_pixels_do_not_count_in_the_mask_loss() -> None:
    logits = torch.randn(1, CLASSES, 8, 8, generator=torch.Generator().manual_seed(0))
    mask = torch.zeros(1, 8, 8, dtype=torch.long)
    mask[0, 2:4, 2:4] = 5
    mask[0, 6] = 255
    before = mask_loss(logits, mask)
    logits[:, :, 6] += 100 * torch.randn(1, CLASSES, 8)
    torch.testing.assert_close(mask_loss(logits, mask), before)


def test_the_localiser_learns() -> None:
    shown = [sample(np.random.default_rng((9, number))) for number in range(8)]
    canvases, masks = (torch.from_numpy(np.stack([one[place] for one in shown])) for place in (0, 1))

    @torch.inference_mode()
    def loss(network: Localiser) -> float:
        return float(mask_loss(network(canvases).mask, masks))

    torch.manual_seed(0)
    assert loss(train_localiser(0, 40, batch=2)) < 0.8 * loss(Localiser().eval())


@pytest.mark.parametrize(("step", "share"), [(0, 0.04), (25, 1.0), (59, 1.0), (80, 0.5), (100, 0.0)])
def test_the_learning_rate_rises_stays_and_falls_to_nothing(step: int, share: float) -> None:
    assert rate(step, 100) == pytest.approx(share, abs=1e-9)


class Stopped(Exception):
    """In place of a power cut."""


def test_a_broken_off_training_ends_where_an_unbroken_one_does_bit_for_bit(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(localiser, "KEPT_EVERY", 2)
    monkeypatch.setattr(localiser, "CHILD_BATCH", 2)  # films take longer to draw than to learn from

    def stop(step: int, _figures: object) -> None:
        if step == 3:
            raise Stopped

    whole = train_localiser(0, 4, batch=2)
    learn_children(whole, 0, 3)
    kept, children = (Checkpoint(tmp_path / name, name) for name in ("state", "children"))
    with pytest.raises(Stopped):
        train_localiser(0, 4, batch=2, checkpoint=kept, handlers=[Report(stop)])
    resumed = train_localiser(0, 4, batch=2, checkpoint=kept)
    with pytest.raises(Stopped):
        learn_children(resumed, 0, 3, children, [Report(stop)])
    resumed = train_localiser(0, 4, batch=2, checkpoint=kept)  # as a new process does: it is trained already
    learn_children(resumed, 0, 3, children)
    for name, value in whole.state_dict().items():
        assert torch.equal(resumed.state_dict()[name], value), name
