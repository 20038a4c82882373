"""The two networks: where every joint is, and how damaged each is."""

from __future__ import annotations

from typing import Literal, NamedTuple

import torch
from torch import Tensor, nn

from pipelines.hand_foot_scoring.heads import MAXIMUM, STATES, Loss, outputs
from pipelines.hand_foot_scoring.sites import CLASSES, Part

# how a limb lies in the view that is scored: part x mirrored x quarter turns clockwise
POSES = tuple((part, mirrored, turns) for part in ("hand", "foot") for mirrored in (False, True) for turns in range(4))
# then the views that are not, whichever way they lie, and "no hand and no foot"
VIEWS: tuple[tuple[Part, Literal["oblique", "lateral"]], ...] = (
    ("hand", "oblique"),
    ("hand", "lateral"),
    ("foot", "oblique"),
    ("foot", "lateral"),
)
OTHER_POSE = len(POSES) + len(VIEWS)
CHILD, INVERTED = 0, 1  # places in `Seen.signs`


class Seen(NamedTuple):
    """What the localiser makes of N canvases: logits, or the probabilities that they stand for."""

    mask: Tensor  # (N, CLASSES, 128, 96)
    pose: Tensor  # (N, OTHER_POSE + 1)
    signs: Tensor  # (N, 2): growth plates are open (of a limb that fills the canvas), bone is dark


class Graded(NamedTuple):
    """What the damage network makes of N crops."""

    features: Tensor  # (N, 96)
    raw: dict[str, Tensor]  # head to (N, outputs), as `Damage` has it


class Step(nn.Sequential):
    """Convolution, batch norm, ReLU: (N, in, H, W) -> (N, out, H/stride, W/stride)."""

    def __init__(self, inside: int, outside: int, stride: int = 1, kernel: int = 3) -> None:
        super().__init__(
            nn.Conv2d(inside, outside, kernel, stride=stride, padding=kernel // 2, bias=False),
            nn.BatchNorm2d(outside),
            nn.ReLU(inplace=True),
        )


class Up(nn.Module):
    """Double the resolution and take the skip in: (N, in, H, W), (N, skip, 2H, 2W) -> (N, out, 2H, 2W)."""

    def __init__(self, inside: int, skip: int, outside: int) -> None:
        super().__init__()
        self.narrow = Step(inside, skip, kernel=1)
        self.mix = Step(2 * skip, outside)

    def forward(self, low: Tensor, skip: Tensor) -> Tensor:
        """The mixed features (N, out, 2H, 2W)."""
        low = nn.functional.interpolate(self.narrow(low), scale_factor=2, mode="nearest")
        mixed: Tensor = self.mix(torch.cat((low, skip), dim=1))
        return mixed


class Localiser(nn.Module):
    """Class map of the sites, pose and view of the limb and two signs, from a canvas of two channels.

    (N, 2, 256, 192) -> `Seen`.
    """

    def __init__(self, channels: tuple[int, ...] = (16, 32, 64, 104, 144)) -> None:
        super().__init__()
        c0, c1, c2, c3, c4 = channels
        self.stem = Step(2, c0, stride=2)  # 128 x 96
        self.down1 = nn.Sequential(Step(c0, c1, stride=2), Step(c1, c1))  # 64 x 48
        self.down2 = nn.Sequential(Step(c1, c2, stride=2), Step(c2, c2))  # 32 x 24
        self.down3 = nn.Sequential(Step(c2, c3, stride=2), Step(c3, c3))  # 16 x 12
        self.down4 = nn.Sequential(Step(c3, c4, stride=2), Step(c4, c4))  # 8 x 6
        self.up3 = Up(c4, c3, c3)
        self.up2 = Up(c3, c2, c2)
        self.up1 = Up(c2, c1, 40)
        self.up0 = Up(40, c0, 24)
        self.mask = nn.Conv2d(24, CLASSES, 1)
        self.pose = nn.Sequential(Step(c4, 32, kernel=1), nn.Flatten(), nn.Linear(32 * 48, OTHER_POSE + 1))
        self.signs = nn.ModuleList(
            (
                nn.Sequential(
                    Step(24 + c0, 32, stride=2),  # 64 x 48, from the finest features: a growth plate is narrow
                    Step(32, 32, stride=2),
                    Step(32, 32, stride=2),
                    Step(32, 16, kernel=1),
                    nn.Flatten(),
                    nn.Dropout(0.3),
                    nn.Linear(16 * 192, 1),
                ),
                nn.Sequential(Step(c4, 16, kernel=1), nn.Flatten(), nn.Linear(16 * 48, 1)),
            )
        )

    def encode(self, canvas: Tensor) -> list[Tensor]:
        """The features of every level, finest first."""
        levels = [self.stem(canvas)]
        for down in (self.down1, self.down2, self.down3, self.down4):
            levels.append(down(levels[-1]))
        return levels

    def decode(self, levels: list[Tensor]) -> Tensor:
        """Features (N, 24, 128, 96), from which the mask takes its logits."""
        level0, level1, level2, level3, level4 = levels
        out: Tensor = self.up0(self.up1(self.up2(self.up3(level4, level3), level2), level1), level0)
        return out

    def fine(self, canvas: Tensor) -> Tensor:
        """Features (N, 24 + c0, 128, 96), from which open growth plates are seen, of a canvas (N, 2, 256, 192)."""
        levels = self.encode(canvas)
        return torch.cat((self.decode(levels), levels[0]), dim=1)

    def forward(self, canvas: Tensor) -> Seen:
        """What is seen on canvases (N, 2, 256, 192)."""
        levels = self.encode(canvas)
        decoded = self.decode(levels)
        child = self.signs[CHILD](torch.cat((decoded, levels[0]), dim=1))
        signs = torch.cat((child, self.signs[INVERTED](levels[-1])), dim=1)
        return Seen(self.mask(decoded), self.pose(levels[-1]), signs)


class ClassMap(nn.Module):
    """The class map of a localiser alone, as the tools of MONAI take a network: (N, 2, 256, 192) -> a tensor."""

    def __init__(self, localiser: Localiser) -> None:
        super().__init__()
        self.localiser = localiser

    def forward(self, canvas: Tensor) -> Tensor:
        """Logits (N, CLASSES, 128, 96) of canvases (N, 2, 256, 192)."""
        found: Seen = self.localiser(canvas)
        return found.mask


class Damage(nn.Module):
    """Grades of one joint from its crop and the class of its site.

    (N, 1, 64, 64) and (N,) site classes (from 1, as in the mask) -> a dictionary of (N, outputs) raw numbers: one entry
    for each head of `MAXIMUM`, "state" (N, 4), "plates" (N, 1) logit of open growth plates.
    """

    def __init__(self, loss: Loss = "local_smoothing", channels: tuple[int, ...] = (24, 48, 88, 128)) -> None:
        super().__init__()
        c0, c1, c2, c3 = channels
        self.loss: Loss = loss
        self.trunk = nn.Sequential(
            Step(1, c0, stride=2, kernel=5),  # 32 x 32
            Step(c0, c0),
            Step(c0, c1, stride=2),  # 16 x 16
            Step(c1, c1),
            Step(c1, c2, stride=2),  # 8 x 8
            Step(c2, c2),
            Step(c2, c3, stride=2),  # 4 x 4
            Step(c3, c3),
        )
        self.site = nn.Embedding(CLASSES, c3)
        self.join = nn.Sequential(nn.Linear(c3 * 16, 96), nn.ReLU(), nn.Dropout(0.2))
        self.squeeze = nn.Linear(c3, 96)
        self.heads = nn.ModuleDict({name: nn.Linear(96, outputs(loss, top)) for name, top in MAXIMUM.items()})
        self.heads["state"] = nn.Linear(96, len(STATES))
        self.heads["plates"] = nn.Linear(96, 1)

    def embed(self, crop: Tensor, site: Tensor) -> Tensor:
        """Features (N, 96) of the joints."""
        place = self.site(site)
        features = self.trunk(crop) * torch.sigmoid(place)[:, :, None, None]
        joined: Tensor = self.join(features.flatten(1)) + self.squeeze(place)
        return joined

    def grade(self, joined: Tensor) -> dict[str, Tensor]:
        """Raw numbers of every head from (N, 96) features."""
        return {name: head(joined) for name, head in self.heads.items()}

    def forward(self, crop: Tensor, site: Tensor) -> dict[str, Tensor]:
        """Raw numbers of every head, of crops (N, 1, 64, 64) and site classes (N,)."""
        return self.grade(self.embed(crop, site))


def seen(canvases: Tensor, network: Localiser) -> Seen:
    """What a localiser sees on canvases (N, 2, 256, 192), as probabilities."""
    found = network(canvases.contiguous(memory_format=torch.channels_last))
    return Seen(found.mask.softmax(dim=1), found.pose.softmax(dim=1), found.signs.sigmoid())


def graded(crops: Tensor, network: Damage, sites: Tensor) -> Graded:
    """Features and raw numbers of crops (N, 1, 64, 64) of joints with the site classes (N,)."""
    features = network.embed(crops, sites)
    return Graded(features, network.grade(features))
