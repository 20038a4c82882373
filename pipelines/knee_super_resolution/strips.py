"""The features of a tile, a few rows at a time, so that what one layer leaves is still in the cache for the next.

The features of a whole tile are some fifty megabytes after each layer. Where every convolution reads and writes all of
them in main memory, that takes longer than the arithmetic: 443 GFLOP/s on one core with AMX, against 1240 on a stack
that fits into the cache. So rows go through all layers in strips. Each layer keeps the last rows it was given, which
its kernel needs beside the next ones; nothing is computed twice.
"""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from pipelines.knee_super_resolution.network import ThinSliceNet

STRIP_VOXELS = 24 * 140 * 24  # acquired voxels of a strip; fewer stay in a nearer cache, but then calls cost more
LEAST_ROWS = 2


def features_in_strips(
    network: ThinSliceNet, thick: Tensor, conditions: Tensor, rows: int | None = None
) -> tuple[Tensor, Tensor]:
    """What `ThinSliceNet.features` returns, in less time.

    Parameters
    ----------
    network
        With weights in the number format that the features are to have.
    thick
        (1, C, H, W) acquired slices.
    conditions
        See `Geometry.conditions`.
    rows
        Of a strip; chosen by size where None. The result does not depend on it.

    Returns
    -------
    tuple of Tensor
        (1, terms, C, H, W) and (1, spread_terms, C, H, W), float32.
    """
    _, slices, height, width = thick.shape
    rows = min(rows or max(LEAST_ROWS, STRIP_VOXELS // (slices * width)), height)
    stacks = [
        _Stack(kernel, (rows + number, height, slices, width))
        for number, kernel in enumerate(network.kernels(conditions))
    ]
    head = stacks[-1]
    out = torch.empty((head.kernel.shape[0], slices, height, width))
    padded = functional.pad(thick[:, None].float(), (1, 1, 1, 1, 1, 1), mode="replicate")[:, 0]
    for top in range(0, height, rows):
        bottom = min(top + rows, height)
        planes = network.first_of_padded(padded[:, :, top : bottom + 2])
        stacks[0].add(top, bottom).copy_(planes[0].permute(2, 1, 3, 0))
        for number in range(0, len(stacks) - 1, 2):
            entry, hidden, following = stacks[number : number + 3]
            top, bottom, made = entry.convolved()
            torch.clamp_min(made, 0, out=hidden.add(top, bottom))
            top, bottom, made = hidden.convolved()
            given = following.add(top, bottom)
            torch.add(made, entry.rows(top, bottom), out=given)
            if following is head:
                given.relu_()
        top, bottom, made = head.convolved()
        out[:, :, top:bottom] = made.permute(3, 1, 0, 2)
    return out[None, : network.terms], out[None, network.terms :]


class _Stack:
    """The rows that a layer was given last, and its convolution.

    Rows are the outermost axis, so that a strip of them is one piece of memory. Row 0 has a row of zeros before it, and
    the last one after it, as the padding of a convolution has.
    """

    def __init__(self, kernel: Tensor, shape: tuple[int, int, int, int]) -> None:
        most, self.height, slices, width = shape
        turned = kernel.transpose(2, 3)  # (out, in, rows, slices, columns)
        self.kernel = turned.contiguous(memory_format=torch.channels_last_3d)
        self.memory = torch.zeros((most + 3, slices, width, kernel.shape[1]), dtype=kernel.dtype)
        self.begin, self.end, self.done = -2, 0, 0  # rows in memory, and below which of them the convolution was taken

    def add(self, top: int, bottom: int) -> Tensor:
        """Where the next rows (h, C, W, channels) are to be written; all but the last two before them are let go."""
        if top > self.begin + 2:
            self.memory[:2] = self.rows(top - 2, top).clone()
            self.begin = top - 2
        self.end = bottom
        if bottom == self.height:
            self.memory[bottom - self.begin] = 0
        return self.rows(top, bottom)

    def rows(self, top: int, bottom: int) -> Tensor:
        """Rows that are in memory, (h, C, W, channels)."""
        return self.memory[top - self.begin : bottom - self.begin]

    def convolved(self) -> tuple[int, int, Tensor]:
        """Top, bottom and convolution (h, C, W, channels) of the rows whose neighbours are there by now."""
        top, bottom = self.done, self.end if self.end == self.height else max(self.end - 1, self.done)
        self.done = bottom
        if top == bottom:
            return top, bottom, self.memory.new_empty((0, *self.memory.shape[1:3], self.kernel.shape[0]))
        given = self.rows(top - 1, bottom + 1).permute(3, 0, 1, 2)[None]
        made = functional.conv3d(given, self.kernel, padding=(0, 1, 1))
        return top, bottom, made[0].permute(1, 2, 3, 0)
