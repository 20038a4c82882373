"""The list of what may be built."""

from __future__ import annotations

import pytest

from pipelines.monai_bundle.targets import _MODULES, LEFT_OUT, found, is_network, known_name


@pytest.mark.parametrize("name", sorted(_MODULES))
def test_everything_on_the_list_is_in_monai(name: str) -> None:
    assert callable(found(name))


@pytest.mark.parametrize(
    ("target", "name"),
    [
        ("UNet", "UNet"),
        ("monai.networks.nets.UNet", "UNet"),
        ("monai.networks.nets.unet.UNet", "UNet"),
        ("SpacingD", "Spacingd"),
        ("SpacingDict", "Spacingd"),
        ("monai.transforms.LoadImaged", "LoadImaged"),
    ],
)
def test_a_target_may_be_written_in_several_ways(target: str, name: str) -> None:
    assert known_name(target) == name


@pytest.mark.parametrize(
    "target",
    [
        "os.system",
        "subprocess.Popen",
        "builtins.eval",
        "torch.load",
        "torch.hub.load",
        "torch.jit.load",
        "scripts.net.UNet",
        "mine.monai.networks.nets.UNet",
        "monai.bundle.ConfigWorkflow",
        "monai.bundle.load",
        "monai.apps.download_url",
        "monai.transforms.TorchVisiond",
        "monai.transforms.TorchIOd",
        "monai.transforms.ImageFilterd",
        "Transchex",
        "CellSamWrapper",
        "",
    ],
)
def test_what_reads_writes_fetches_or_runs_is_not_on_it(target: str) -> None:
    assert known_name(target) is None
    with pytest.raises(LookupError):
        found(target)


@pytest.mark.parametrize("target", sorted(LEFT_OUT))
def test_what_is_left_out_cannot_be_built(target: str) -> None:
    with pytest.raises(LookupError):
        found(target)


def test_networks_are_told_from_transforms() -> None:
    assert is_network("monai.networks.nets.resnet.resnet50")
    assert not is_network("Compose")
