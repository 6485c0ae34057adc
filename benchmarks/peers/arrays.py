"""Peers that take and give bare arrays: PyTorch and OpenCV. None of them knows of missing values."""

from __future__ import annotations

import math
from collections.abc import Callable

import numpy as np
import numpy.typing as npt

from benchmarks.peers.jobs import F32, Job
from smdown.grid import Window


def is_whole(job: Job) -> bool:
    """Whether source and target can cover the same ground in whole pixels."""
    return job.nested is not None


def is_refined_whole(job: Job) -> bool:
    """Whether they can, and the target is the finer."""
    return job.nested is not None and not job.coarsens


def common(job: Job) -> tuple[Window, Window]:
    """Return the source pixels, and the target pixels on the same ground, that hold what is wanted.

    The ground wanted and no more, or all that was cut out for a tile, down to where whole pixels of both grids
    meet: these functions know extents only as whole pixels, and make up what lies beyond.
    """
    assert job.nested is not None
    factor = math.gcd(job.source_ratio, job.grid.ratio)
    p, q = job.source_ratio // factor, job.grid.ratio // factor
    origin = job.have.shift(job.nested.y0, job.nested.x0)
    have = origin if job.with_margin else job.window.cover(job.grid.ratio, job.source_ratio)
    y0, y1, x0, x1 = -(-have.y0 // p), have.y1 // p, -(-have.x0 // p), have.x1 // p
    target = Window(y0 * q, y1 * q, x0 * q, x1 * q)
    source = Window(y0 * p, y1 * p, x0 * p, x1 * p)
    return source.relative_to(origin), target


def interpolate(threads: int) -> Callable[[Job, F32], Callable[[], F32]]:
    """Return PyTorch's antialiased bicubic (a = -0.5) between extents of whole pixels."""

    def prepare(job: Job, field: F32) -> Callable[[], F32]:
        import torch

        source, target = common(job)
        tensor = torch.from_numpy(np.ascontiguousarray(field[source.slices]))[None, None]
        part = job.window.intersect(target)
        assert part == job.window, f"{job.name}: the window is not covered by whole pixels"
        cut = part.relative_to(target).slices

        def run() -> F32:
            torch.set_num_threads(threads)
            made = torch.nn.functional.interpolate(tensor, size=target.shape, mode="bicubic", antialias=True)
            torch.set_num_threads(1)
            out: F32 = made[0, 0].numpy()[cut]
            return out

        return run

    return prepare


def grid_sample(job: Job, field: F32) -> Callable[[], F32]:
    """Return PyTorch's `grid_sample` (a = -0.75, never widened); where pixels fall it is told beforehand."""
    import torch

    rows, cols = _positions(job)
    height, width = field.shape
    places = np.stack([2 * cols / width - 1, 2 * rows / height - 1], axis=-1).astype(np.float32)
    tensor, grid = torch.from_numpy(field)[None, None], torch.from_numpy(places)[None]

    def run() -> F32:
        torch.set_num_threads(1)
        made = torch.nn.functional.grid_sample(tensor, grid, mode="bicubic", align_corners=False)
        out: F32 = made[0, 0].numpy()
        return out

    return run


def cv_resize(job: Job, field: F32) -> Callable[[], F32]:
    """Return OpenCV's `resize` (a = -0.75, not antialiased) between extents of whole pixels."""
    import cv2

    cv2.setNumThreads(1)
    source, target = common(job)
    array = np.ascontiguousarray(field[source.slices])
    cut = job.window.relative_to(target).slices

    def run() -> F32:
        out: F32 = cv2.resize(array, target.shape[::-1], interpolation=cv2.INTER_CUBIC)[cut]
        return out

    return run


def cv_remap(job: Job, field: F32) -> Callable[[], F32]:
    """Return OpenCV's `remap` (a = -0.75, positions rounded to 1/32 pixel); where pixels fall it is told beforehand."""
    import cv2

    cv2.setNumThreads(1)
    rows, cols = (np.ascontiguousarray(p - 0.5, np.float32) for p in _positions(job))

    def run() -> F32:
        out: F32 = cv2.remap(field, cols, rows, cv2.INTER_CUBIC, borderMode=cv2.BORDER_REPLICATE)
        return out

    return run


def _positions(job: Job) -> tuple[npt.NDArray[np.float64], npt.NDArray[np.float64]]:
    """Return fractional rows and columns, in the field, of all pixels' centres."""
    w = job.window
    y, x = np.meshgrid(np.arange(w.y0, w.y1) + 0.5, np.arange(w.x0, w.x1) + 0.5, indexing="ij")
    return job.locate(y, x)
