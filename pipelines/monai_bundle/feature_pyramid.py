"""The feature extractor of MONAI's detectors, which MONAI itself builds only where torchvision is installed."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Sequence

from monai.networks.blocks.feature_pyramid_network import FeaturePyramidNetwork, LastLevelMaxPool
from torch import Tensor, nn

CHANNELS = 256  # of each map, as MONAI has it


class Stages(nn.ModuleDict):
    """The stages of a ResNet one after the other: the maps of those that are named, by the name that each is given."""

    def __init__(self, backbone: nn.Module, returned: dict[str, str]) -> None:
        kept: OrderedDict[str, nn.Module] = OrderedDict()
        left = set(returned)
        for name, child in backbone.named_children():
            kept[name] = child
            left.discard(name)
            if not left:
                break
        super().__init__(kept)
        self.returned = returned

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Images (N, C, ...) to maps by name, each (N, channels of the stage, smaller ...)."""
        found = OrderedDict[str, Tensor]()
        for name, stage in self.items():
            x = stage(x)
            if name in self.returned:
                found[self.returned[name]] = x
        return found


class FeaturePyramid(nn.Module):
    """ResNet with a feature pyramid on top; parameters are named as in MONAI's ``BackboneWithFPN``."""

    def __init__(self, backbone: nn.Module, spatial_dims: int, returned_layers: Sequence[int]) -> None:
        super().__init__()
        first = int(backbone.in_planes) // 8  # type: ignore[arg-type]  # channels of the first stage
        self.body = Stages(backbone, {f"layer{layer}": str(i) for i, layer in enumerate(returned_layers)})
        self.fpn = FeaturePyramidNetwork(
            spatial_dims=spatial_dims,
            in_channels_list=[first * 2 ** (layer - 1) for layer in returned_layers],
            out_channels=CHANNELS,
            extra_blocks=LastLevelMaxPool(spatial_dims),
        )
        self.out_channels = CHANNELS

    def forward(self, x: Tensor) -> dict[str, Tensor]:
        """Images (N, C, ...) to maps of `CHANNELS` channels, the finest first."""
        maps: dict[str, Tensor] = self.fpn(self.body(x))
        return maps


def feature_extractor(
    backbone: nn.Module,
    spatial_dims: int,
    pretrained_backbone: bool = False,
    returned_layers: Sequence[int] = (1, 2, 3),
    trainable_backbone_layers: int | None = None,
) -> FeaturePyramid:
    """What MONAI's ``resnet_fpn_feature_extractor`` gives; what it says of training has no meaning here."""
    return FeaturePyramid(backbone, spatial_dims, returned_layers)
