"""Where the pixels of a window lie between the pixels of the coarser grid that carries the sequence."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from smdown.errors import GridError
from smdown.grid import Window


@dataclass(frozen=True, eq=False)
class Placement:
    """Bilinear weights from a window of sequence pixels to a window of fine pixels.

    Parameters
    ----------
    y_index, x_index : Tensor
        int64, ``(y,)`` and ``(x,)``, or ``(batch, y)`` and ``(batch, x)``: the upper (left) one of the two sequence
        pixels on either side, counted from the first sequence pixel.
    y_weight, x_weight : Tensor
        float32, ``(y,)`` and ``(x,)``, or ``(batch, y)`` and ``(batch, x)`` where samples of a batch lie differently:
        the share of the lower (right) one, in [0, 1).
    """

    y_index: Tensor
    y_weight: Tensor
    x_index: Tensor
    x_weight: Tensor

    def to(self, device: torch.device | str) -> Placement:
        """Return the same placement on another device."""
        return Placement(*(t.to(device) for t in (self.y_index, self.y_weight, self.x_index, self.x_weight)))


@dataclass(frozen=True, eq=False)
class Band:
    """Weights of one axis as a matrix, from the sequence pixels between `first` and `last` (left out) to fine pixels.

    Parameters
    ----------
    first, last : int
        Sequence pixels that matter.
    weights : Tensor
        float32, ``(pixel, last - first)``, two in a row other than zero.
    """

    first: int
    last: int
    weights: Tensor

    @classmethod
    def of(cls, index: Tensor, weight: Tensor) -> Band:
        """Return the weights of indices and weights ``(pixel,)``, indices rising."""
        first, last = int(index[0]), int(index[-1]) + 2
        weights = torch.zeros((len(index), last - first), dtype=weight.dtype, device=weight.device)
        left = (index - first)[:, None]
        weights.scatter_(1, left, (1 - weight)[:, None]).scatter_(1, left + 1, weight[:, None])
        return cls(first, last, weights)


@dataclass(frozen=True, eq=False)
class Banded:
    """A placement that all samples share, as two matrices: their products read every neighbour from the cache."""

    rows: Band
    columns: Band

    @classmethod
    def of(cls, place: Placement) -> Banded:
        """Return the matrices of a placement whose indices and weights have one dimension."""
        return cls(Band.of(place.y_index, place.y_weight), Band.of(place.x_index, place.x_weight))


Place = Placement | Banded
"""Where pixels lie, in either form."""


def axis_placement(start: int, stop: int, ratio: int, origin: int, sequence_ratio: int) -> tuple[Tensor, Tensor]:
    """Return indices and weights of pixels `start` to `stop` of one axis; see `pixel_placement`."""
    return pixel_placement(torch.arange(start, stop, dtype=torch.int64), ratio, origin, sequence_ratio)


def pixel_placement(pixel: Tensor, ratio: int, origin: int, sequence_ratio: int) -> tuple[Tensor, Tensor]:
    """Return indices and weights of pixels of one axis, in integers until the last division.

    The centre of pixel *i* lies at ``((2 i + 1) s - r) / (2 r)`` sequence pixels from the centre of sequence pixel 0,
    with *r* and *s* the pixels along a cell of the fine and the sequence grid.
    """
    centre = (2 * pixel + 1) * sequence_ratio - ratio
    index = torch.div(centre, 2 * ratio, rounding_mode="floor")
    weight = (centre - index * 2 * ratio).to(torch.float64) / (2 * ratio)
    return index - origin, weight.to(torch.float32)


def placement(core: Window, ratio: int, sequence_origin: tuple[int, int], sequence_ratio: int) -> Placement:
    """Place the pixels of `core` in a window of the sequence grid.

    Parameters
    ----------
    core : Window
        Fine pixels, in global indices at `ratio`.
    ratio, sequence_ratio : int
        Pixels along a cell of the fine grid and of the sequence grid.
    sequence_origin : (int, int)
        Global row and column of the first sequence pixel that is at hand.

    Returns
    -------
    Placement
        Depends on each pixel's global index alone.

    Raises
    ------
    GridError
        If the sequence starts after the pixels' first neighbour.
    """
    y_index, y_weight = axis_placement(core.y0, core.y1, ratio, sequence_origin[0], sequence_ratio)
    x_index, x_weight = axis_placement(core.x0, core.x1, ratio, sequence_origin[1], sequence_ratio)
    if min(int(y_index[0]), int(x_index[0])) < 0:
        raise GridError(
            f"got a sequence that starts at {sequence_origin}, inside the window {core} of ratio {ratio}; "
            "read it with a margin of one pixel"
        )
    return Placement(y_index, y_weight, x_index, x_weight)


def interpolate(state: Tensor, place: Place) -> Tensor:
    """Interpolate a map of the sequence grid bilinearly to the placed pixels.

    Parameters
    ----------
    state : Tensor
        ``(batch, channel, Y, X)``.

    Returns
    -------
    Tensor
        ``(batch, channel, y, x)``, channels last in memory: neighbours are taken whole.
    """
    if isinstance(place, Banded):
        return _by_bands(state, place.rows, place.columns)
    last = state.to(place.y_weight.dtype).permute(0, 2, 3, 1).contiguous()  # mixed precision hands down fewer bits
    rows = torch.lerp(
        _taken(last, 1, place.y_index),
        _taken(last, 1, place.y_index + 1),
        place.y_weight[:, None, None] if place.y_weight.dim() == 1 else place.y_weight[:, :, None, None],
    )
    pixels = torch.lerp(
        _taken(rows, 2, place.x_index),
        _taken(rows, 2, place.x_index + 1),
        place.x_weight[:, None] if place.x_weight.dim() == 1 else place.x_weight[:, None, :, None],
    )
    return pixels.permute(0, 3, 1, 2)


def _by_bands(state: Tensor, rows: Band, columns: Band) -> Tensor:
    """Interpolate columns first, then whole rows."""
    part = state[..., rows.first : rows.last, columns.first : columns.last].permute(0, 2, 3, 1).contiguous()
    wide = torch.matmul(columns.weights, part)
    batch, _, width, channels = wide.shape
    found = torch.matmul(rows.weights, wide.reshape(batch, -1, width * channels))
    return found.view(batch, -1, width, channels).permute(0, 3, 1, 2)


def _taken(values: Tensor, axis: int, index: Tensor) -> Tensor:
    """Return rows (axis 1) or columns (axis 2) of ``(batch, y, x, channel)``, of each sample its own if need be."""
    if index.dim() == 1:
        return values.index_select(axis, index)
    shape = list(values.shape)
    shape[axis] = index.shape[1]
    return values.gather(axis, (index[:, :, None, None] if axis == 1 else index[:, None, :, None]).expand(shape))
