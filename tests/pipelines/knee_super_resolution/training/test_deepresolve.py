"""The published network."""

from __future__ import annotations

import torch

from pipelines.knee_super_resolution.training.deepresolve import DeepResolve


def test_it_has_twenty_layers_of_sixty_four_and_keeps_the_shape() -> None:
    torch.manual_seed(0)
    network = DeepResolve()
    kernels = [each.weight.shape for each in network if isinstance(each, torch.nn.Conv3d)]
    assert len(kernels) == 20
    assert network.multiply_adds() == 27 * (64 + 18 * 64 * 64 + 64)
    with torch.no_grad():
        assert network(torch.rand(1, 1, 6, 8, 8)).shape == (1, 1, 6, 8, 8)


def test_an_untrained_one_sees_edges_and_not_brightness() -> None:
    torch.manual_seed(0)
    network = DeepResolve().eval()
    flat = torch.full((1, 1, 48, 12, 12), 0.5)
    with torch.no_grad():
        residual = (network(flat) - flat)[0, 0, 22:26, 5:7, 5:7]  # the borders of the volume are edges
    assert float(residual.abs().max()) < 0.05


def test_deepresolve_is_the_published_layout() -> None:
    assert sum(each.numel() for each in DeepResolve().parameters()) == 1_995_329


def test_an_untrained_deepresolve_neither_loses_nor_blows_up_what_its_first_layer_sees() -> None:
    torch.manual_seed(0)
    network = DeepResolve()
    with torch.no_grad():
        features = [torch.rand(1, 1, 12, 12, 12)]
        for step in list(network)[:-1]:
            features.append(step(features[-1]))
    assert 0.5 < float(features[-1].std() / features[2].std()) < 3
