"""The convolutional supervised auto-encoder (CSAE), for 2-D ultrasound and 3-D HR-pQCT.

After Folle et al., Front Med 2022;9:850552: an auto-encoder with a classifier on its bottleneck, trained with one
weight between reconstruction and classification. Re-implemented from the text, with three changes: the last decoder
stage is resized to the input (five halvings of a depth of 80 give 2, and mirroring them gives 64, not 80); the
classifier pools the bottleneck before its linear layer (flattened, it holds 40 times the weights of everything else
and overfits); batch normalisation, since a pooled head is to see how much of a thing there is, which normalising every
image by itself would take away, and the gate with it (gain and brightness drop out of the input before).
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from pipelines.joint_classification.classes import CLASSES

CHANNELS = (8, 16, 32, 48, 80)  # of the five encoder stages


class Output(NamedTuple):
    """Everything that the network gives for a batch."""

    logits: Tensor  # (N, classes)
    reconstruction: Tensor  # (N, 1, *input), same size as the input
    latent: Tensor  # (N, 2 * channels[-1]): the pooled bottleneck
    foreign: Tensor  # (N,): logit of "none of these"


def _convolution(spatial_dims: int, inputs: int, outputs: int) -> nn.Module:
    kind = nn.Conv2d if spatial_dims == 2 else nn.Conv3d
    return kind(inputs, outputs, kernel_size=3, padding=1, bias=False)


def _norm(spatial_dims: int, channels: int) -> nn.Module:
    return (nn.BatchNorm2d if spatial_dims == 2 else nn.BatchNorm3d)(channels)


class Convolution(nn.Module):
    """Convolve, normalise, rectify: (N, C_in, ...) -> (N, C_out, ...).

    The rectifier is a plain ReLU called `relu`: guided back-propagation is defined for it, and MONAI finds it by that
    name.
    """

    def __init__(self, spatial_dims: int, inputs: int, outputs: int) -> None:
        super().__init__()
        self.convolution = _convolution(spatial_dims, inputs, outputs)
        self.norm = _norm(spatial_dims, outputs)
        self.relu = nn.ReLU()

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_out, ...) from (N, C_in, ...)."""
        y: Tensor = self.relu(self.norm(self.convolution(x)))
        return y


class Stage(nn.Module):
    """Two convolutions and dropout of whole channels: (N, C_in, ...) -> (N, C_out, ...)."""

    def __init__(self, spatial_dims: int, inputs: int, outputs: int, dropout: float) -> None:
        super().__init__()
        self.first = Convolution(spatial_dims, inputs, outputs)
        self.second = Convolution(spatial_dims, outputs, outputs)
        self.dropout = (nn.Dropout2d if spatial_dims == 2 else nn.Dropout3d)(dropout)

    def forward(self, x: Tensor) -> Tensor:
        """(N, C_out, ...) from (N, C_in, ...)."""
        y: Tensor = self.dropout(self.second(self.first(x)))
        return y


class ConvolutionalSupervisedAutoEncoder(nn.Module):
    """Classify an image, draw it again from the same bottleneck, and say whether it is none of the classes.

    The last is not in the paper, which forces everything into one of its classes.

    Parameters
    ----------
    spatial_dims
        2 for (N, C, H, W), 3 for (N, C, D, H, W).
    inputs
        Channels of the input: 1, or 2 for mask and grey values together.
    channels
        Of the encoder's stages; between two stages every axis is halved.
    dropout
        Probability that a whole channel is dropped.
    """

    def __init__(
        self,
        spatial_dims: Literal[2, 3],
        inputs: int = 1,
        classes: int = len(CLASSES),
        channels: Sequence[int] = CHANNELS,
        dropout: float = 0.1,
    ) -> None:
        super().__init__()
        self.spatial_dims = spatial_dims
        self.channels = tuple(channels)
        widths = [inputs, *channels]
        self.encoder = nn.ModuleList(
            Stage(spatial_dims, before, after, dropout) for before, after in zip(widths, channels, strict=False)
        )
        back = list(reversed(channels))
        self.decoder = nn.ModuleList(
            Stage(spatial_dims, before, after, dropout)
            for before, after in zip(back, [*back[1:], back[-1]], strict=True)
        )
        self.draw = (nn.Conv2d if spatial_dims == 2 else nn.Conv3d)(back[-1], inputs, kernel_size=1)
        self.classify = nn.Linear(2 * channels[-1], classes)
        self.foreign = nn.Linear(2 * sum(channels), 1)

    def stage(self, x: Tensor, number: int) -> Tensor:
        """One stage of the encoder, halved before it unless it is the first: (N, C, ...) -> (N, C', ...)."""
        if number:
            pool = functional.max_pool2d if self.spatial_dims == 2 else functional.max_pool3d
            x = pool(x, 2, ceil_mode=True)
        y: Tensor = self.encoder[number](x)
        return y

    def down(self, x: Tensor) -> list[Tensor]:
        """What leaves each stage of the encoder, the bottleneck last."""
        outputs = []
        for number in range(len(self.encoder)):
            x = self.stage(x, number)
            outputs.append(x)
        return outputs

    def pool(self, bottleneck: Tensor) -> Tensor:
        """(N, C, ...) -> (N, 2C): mean, and maximum, since a lesion is small."""
        flat = bottleneck.flatten(2)
        return torch.cat([flat.mean(2), flat.amax(2)], dim=1)

    def up(self, outputs: list[Tensor]) -> Tensor:
        """Draw the input again from the bottleneck alone; the other stages only say how large to become."""
        mode = "bilinear" if self.spatial_dims == 2 else "trilinear"
        y = outputs[-1]
        for number, stage in enumerate(self.decoder):
            if number:
                y = functional.interpolate(y, size=outputs[-1 - number].shape[2:], mode=mode, align_corners=False)
            y = stage(y)
        drawn: Tensor = self.draw(y)
        return drawn

    def is_foreign(self, outputs: list[Tensor]) -> Tensor:
        """Logit of "none of these" from every stage, since what is foreign may be small and sharp: (N,)."""
        foreign: Tensor = self.foreign(torch.cat([self.pool(one) for one in outputs], 1))[:, 0]
        return foreign

    def inspect(self, x: Tensor, drawn: int | None = None) -> tuple[Output, list[Tensor]]:
        """The output for a batch, drawings of its first `drawn` images (None: of all), and what left each stage."""
        outputs = self.down(x)
        latent = self.pool(outputs[-1])
        drawing = self.up([one[:drawn] for one in outputs])
        return Output(self.classify(latent), drawing, latent, self.is_foreign(outputs)), outputs

    def forward(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> (N, classes): the classification alone; `inspect` gives the rest."""
        return self.logits(x)

    def logits_from(self, feature: Tensor, number: int) -> Tensor:
        """Go on from what left stage `number`: (N, C', ...) -> (N, classes)."""
        for later in range(number + 1, len(self.encoder)):
            feature = self.stage(feature, later)
        result: Tensor = self.classify(self.pool(feature))
        return result

    def logits(self, x: Tensor) -> Tensor:
        """(N, C, ...) -> (N, classes), without drawing."""
        return self.logits_from(self.stage(x, 0), 0)
