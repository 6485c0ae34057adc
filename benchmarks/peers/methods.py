"""The methods: each turns a job and its field into a function that does the whole work, array to array."""

from __future__ import annotations

import importlib.util
from collections.abc import Callable
from dataclasses import dataclass, replace

import numpy as np

from benchmarks.peers import arrays, gdal, labelled, workers
from benchmarks.peers.jobs import F32, Job
from benchmarks.peers.workers import forget
from smdown.features import Resampler

Prepare = Callable[[Job, F32], Callable[[], F32]]


@dataclass(frozen=True)
class Method:
    """One way to resample.

    Parameters
    ----------
    name : str
        As printed.
    prepare : callable
        ``prepare(job, field)`` returns the function that is timed.
    threads : int
        Threads that it may use.
    package : str
        What must be installed for it.
    applies : callable
        Whether it can do a job at all.
    knows_nan : bool
        Whether it runs at all on a field with missing pixels.
    pieces_of : str
        Name of the method that makes in one piece what this one makes in tiles by itself.
    in_processes : bool
        Whether it works in processes of its own.
    whole_px : bool
        Whether it knows extents only as whole pixels, and nothing beyond them.
    fields : int
        Fields that it resamples in one call.
    """

    name: str
    prepare: Prepare
    threads: int = 1
    package: str = "rasterio"
    applies: Callable[[Job], bool] = lambda _: True
    knows_nan: bool = True
    pieces_of: str = ""
    in_processes: bool = False
    whole_px: bool = False
    fields: int = 1

    @property
    def ours(self) -> bool:
        """Whether it is this project's."""
        return self.name.startswith("smdown")


def smdown(job: Job, field: F32, *, clamp: bool = True) -> Callable[[], F32]:
    """Return what a task does with a window: making the weights, and applying them."""
    need = Resampler(job.raster, job.grid).job(job.grid.ratio, job.window, "cubic").need
    array = np.ascontiguousarray(field[need.relative_to(job.have).slices])

    def run() -> F32:
        forget()
        return Resampler(job.raster, job.grid).job(job.grid.ratio, job.window, "cubic", clamp=clamp)(array)

    return run


def smdown_unclamped(job: Job, field: F32) -> Callable[[], F32]:
    """Return the same with overshoots left in, as all peers leave them in."""
    return smdown(job, field, clamp=False)


def all_methods() -> list[Method]:
    """Return the methods, ours first, whether installed or not."""
    tasks = Method("", smdown, 1, "smdown", pieces_of="smdown", in_processes=True, fields=workers.FIELDS)
    return [
        Method("smdown", smdown, package="smdown"),
        replace(tasks, name="smdown, 1 worker", prepare=workers.tiles(1), threads=1),
        replace(tasks, name="smdown, 2 workers", prepare=workers.tiles(2), threads=2),
        Method("GDAL", gdal.usual(1)),
        Method("GDAL, 2 threads", gdal.usual(2), 2),
        Method("GDAL exact", gdal.exact(1)),
        Method("GDAL exact, 2 threads", gdal.exact(2), 2),
        Method("rioxarray", labelled.rioxarray, package="rioxarray"),
        Method("odc-geo", labelled.odc, package="odc-geo"),
        Method("odc-geo, Dask, 2 threads", labelled.odc_dask, 2, "odc-geo", pieces_of="odc-geo"),
        Method("xarray-regrid", labelled.regrid, package="xarray-regrid", applies=refines_by_axes, knows_nan=False),
        Method("torch interpolate", arrays.interpolate(1), package="torch", applies=arrays.is_whole, whole_px=True),
        Method(
            "torch interpolate, 2 threads", arrays.interpolate(2), 2, "torch", applies=arrays.is_whole, whole_px=True
        ),
        Method("torch grid_sample", arrays.grid_sample, package="torch", applies=refines),
        Method(
            "OpenCV resize",
            arrays.cv_resize,
            package="opencv-python-headless",
            applies=arrays.is_refined_whole,
            whole_px=True,
        ),
        Method("OpenCV remap", arrays.cv_remap, package="opencv-python-headless", applies=refines),
    ]


def refines_by_axes(job: Job) -> bool:
    """Whether rows and columns map one by one, and a kernel that is never widened will do."""
    return job.separable and not job.coarsens


def refines(job: Job) -> bool:
    """Whether a kernel that is never widened will do."""
    return not job.coarsens


_MODULES = {"odc-geo": "odc.geo", "xarray-regrid": "xarray_regrid", "opencv-python-headless": "cv2"}


def installed(method: Method) -> bool:
    """Whether a method's package can be imported."""
    name = _MODULES.get(method.package, method.package)
    try:
        return importlib.util.find_spec(name) is not None
    except ModuleNotFoundError:
        return False


def tiled(method: Method, job: Job, field: F32) -> F32:
    """Return the result made in tiles, each from no more than the window that a tiled user would read."""
    out = np.empty(job.window.shape, np.float32)
    for window in job.tiles():
        part = job.part(window)
        if method.ours:  # its tasks say themselves what they need, and count pixels from the whole source's corner
            part = replace(part, have=Resampler(job.raster, job.grid).job(job.grid.ratio, window, "cubic").need)
        array = np.ascontiguousarray(field[part.have.slices])
        out[window.relative_to(job.window).slices] = method.prepare(part, array)()
    return out


def with_margin(method: Method, job: Job, field: F32) -> F32:
    """Return the whole, from as much around it as a tile gets, by a method that is otherwise given the ground alone."""
    part = job.part(job.window)
    return method.prepare(part, np.ascontiguousarray(field[part.have.slices]))()
