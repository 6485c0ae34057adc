"""Measure how training is fed: samples from cube to device, time to the first batch of a continent, and waiting.

``python -m benchmarks.training [--quick] [--json FILE]``. Loaders take turns in each round and read the same 64-pixel
patches, with the same surroundings, from the same cubes; the median of the rounds counts. Whatever peer is missing is
left out.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import torch
import xarray as xr

from benchmarks import machine, record
from benchmarks.training_region import CONTINENT, Continent, context_of, days_of, make_region, write_static
from smdown.features import FeaturesConfig, Loader, build_spec
from smdown.features.materialise import cube_url
from smdown.features.spec import FeatureSpec
from smdown.training import TrainingConfig, train
from smdown.training.collect import collect
from smdown.training.data import Samples, TrainBatches
from smdown.training.index import PatchIndex
from smdown.training.shelf import Shelf
from smdown.training.stream import Streamed

ALIGNED = 192
"""Pixels along a cell that 64 divides, so that a regular grid of patches, which is all xbatcher has, is ours."""
RADIUS, BATCH = 4, 16
LABEL = {"kind": "cubic", "source": "smap"}
OURS = "smdown, streamed"


def device() -> torch.device:
    return torch.device("cuda" if torch.cuda.is_available() else "cpu")


class Loading:
    """One pass over the patches of static drivers, on one day, by several loaders."""

    def __init__(self, folder: Path, n_cells: int) -> None:
        spec = make_region(folder, n_cells, 3, (), 1)
        write_static(spec, ALIGNED, np.random.default_rng(2))
        static = [driver.model_dump() for driver in spec.static]
        config = FeaturesConfig(drivers=static, resolutions=(1000,))
        self.spec = build_spec(config, spec.base, sources_url=spec.sources_url, features_url=spec.features_url)
        self.url = cube_url(self.spec, ALIGNED)
        region = self.spec.base.cells
        inner = region.expand(-1)
        self.context = context_of(self.spec, region, days_of(1))
        training = TrainingConfig(labels=[LABEL], resolutions=[47], feeding="stream", max_cells=region.size)
        plain = collect(training, self.context, Loader(self.spec), None, RADIUS, lambda *_: None).training[0]
        assert isinstance(plain, Streamed)
        self.recipe = plain.recipe
        assert (self.recipe.ratio, self.recipe.size) == (ALIGNED, 64)
        y, x = np.mgrid[inner.slices]
        self.cells = np.stack([y.ravel(), x.ravel()], axis=1)
        self.inner = inner

    @property
    def count(self) -> int:
        return 9 * len(self.cells)

    def ours(self) -> Iterator[torch.Tensor]:
        corner = (self.spec.base.cells.y0, self.spec.base.cells.x0)
        index = PatchIndex(self.cells, 1, ALIGNED, 64, origin=corner)
        samples = Streamed(self.recipe, index, Loader(self.spec), Shelf(2**31), RADIUS)
        pixels = self.count * 64**2
        config = TrainingConfig(labels=[LABEL], pixels_per_epoch=pixels, batch_pixels=BATCH * 64**2)
        for step in TrainBatches([samples], config, 0):
            yield step[0].fine.to(device())

    def dataset(self, **options: Any) -> xr.Dataset:
        whole = xr.open_zarr(self.url, consolidated=False, **options)[list(self.spec.static_names)]
        origin = self.spec.base.at(ALIGNED).window
        window = self.inner.refine(ALIGNED).expand(RADIUS).relative_to(origin)
        return whole.isel(y=window.slices[0], x=window.slices[1])

    def naive(self, **options: Any) -> Iterator[torch.Tensor]:
        """Read patch by patch, in random order, as a first try would."""
        data = self.dataset(**options)
        rows, cols = (size // 64 for size in self.inner.refine(ALIGNED).shape)
        order = np.random.default_rng(0).permutation(rows * cols)
        for part in np.array_split(order, -(-len(order) // BATCH)):
            patches = []
            for n in part:
                y, x = 64 * (n // cols), 64 * (n % cols)
                patch = data.isel(y=slice(y, y + 64 + 2 * RADIUS), x=slice(x, x + 64 + 2 * RADIUS))
                patches.append(np.stack([patch[name].values for name in data]))
            yield torch.from_numpy(np.stack(patches)).to(device())

    def xbatcher(self, shuffle: bool, **options: Any) -> Iterator[torch.Tensor]:
        """Read by xbatcher's dataset for PyTorch, as its documentation has it."""
        import xbatcher
        from xbatcher.loaders.torch import MapDataset

        side = {"y": 64 + 2 * RADIUS, "x": 64 + 2 * RADIUS}
        generator = xbatcher.BatchGenerator(
            self.dataset(**options), input_dims=side, input_overlap={"y": 2 * RADIUS, "x": 2 * RADIUS}
        )
        patches = MapDataset(generator, transform=lambda patch: torch.from_numpy(patch.to_array().values))
        for batch in torch.utils.data.DataLoader(patches, batch_size=BATCH, shuffle=shuffle):
            yield batch.to(device())

    def methods(self) -> dict[str, Callable[[], Iterator[torch.Tensor]]]:
        found = {OURS: self.ours, "xarray, patch by patch": lambda: self.naive(chunks=None)}
        if find_spec("xbatcher"):
            found["xbatcher, shuffled"] = lambda: self.xbatcher(True, chunks=None)
            found["xbatcher, in order"] = lambda: self.xbatcher(False, chunks=None)
            found["xbatcher on Dask, in order"] = lambda: self.xbatcher(False)
        return found

    def run(self, rounds: int) -> list[dict[str, Any]]:
        times: dict[str, list[float]] = {name: [] for name in self.methods()}
        for _ in range(rounds):
            for name, method in self.methods().items():
                print(f"  {name}", file=sys.stderr, flush=True)
                start, seen = time.perf_counter(), 0
                for batch in method():
                    seen += len(batch)
                times[name].append(time.perf_counter() - start)
                assert seen == self.count, (name, seen, self.count)
        return [
            {"job": "cube to device", "method": name, "patches": self.count, "drivers": len(self.spec.static_names),
             "median_s": round(median(seconds), 4), "samples_s": round(self.count / median(seconds), 1)}
            for name, seconds in times.items()
        ]  # fmt: skip


def first_batch(spec: FeatureSpec, rounds: int) -> dict[str, Any]:
    """Time what is done before the first batch of a training on a continent is on the device."""
    days = days_of(365)
    context = context_of(spec, CONTINENT, days)
    config = TrainingConfig(labels=[LABEL], max_cells=CONTINENT.size, max_days=365, feeding="stream")
    times = []
    for _ in range(rounds):
        loader = Continent.of(spec)
        start = time.perf_counter()
        data = collect(config, context, loader, None, RADIUS, lambda *_: None)
        prepared = time.perf_counter() - start
        steps = iter(Samples(data, RADIUS, config, 0).train_dataloader())
        batch = [group.to(device()) for group in next(steps)]
        times.append((time.perf_counter() - start, prepared))
        assert len(batch) == 3
        steps.close()  # type: ignore[attr-defined]
    total, before = zip(*times, strict=True)
    patches = sum(len(samples) for samples in data.training)
    return {
        "job": "first batch of a continent", "method": OURS, "patches": patches, "cells": CONTINENT.size,
        "median_s": round(median(total), 3), "prepare_s": round(median(before), 3), "most_s": round(max(total), 3),
    }  # fmt: skip


def waiting(spec: FeatureSpec, n_days: int, epochs: int, pixels: int, folder: Path) -> dict[str, Any]:
    """Train the CNN from cubes and note the share of its time that it waited for samples."""
    torch.set_num_threads(2)
    out = folder / "bundle"
    context = context_of(spec, spec.base.cells, days_of(n_days), str(out))
    config = TrainingConfig(
        labels=[LABEL], networks={"cnn": {}}, feeding="stream", max_days=n_days, epochs=epochs, patience=epochs,
        pixels_per_epoch=pixels, batch_pixels=4 * 64**2,
    )  # fmt: skip
    train(config, context, loader=Loader(spec))
    history = json.loads((out / "history.json").read_text())["networks"]["cnn"]
    seconds = np.array(history["seconds"])
    share = float((np.array(history["waiting"]) * seconds).sum() / seconds.sum())
    return {
        "job": "waiting of the CNN", "method": OURS, "epochs": epochs, "median_s": round(float(np.median(seconds)), 3),
        "samples_s": round(float(np.median(history["samples_per_second"])), 1), "waiting": round(share, 4),
        "waiting_first_epoch": history["waiting"][0], "threads": torch.get_num_threads(),
    }  # fmt: skip


def claims(rows: list[dict[str, Any]]) -> list[dict[str, Any]]:
    rate = {row["method"]: row["samples_s"] for row in rows if row["job"] == "cube to device"}
    best = max((name for name in rate if name.startswith("xbatcher")), key=rate.__getitem__, default=None)
    by_job = {row["job"]: row for row in rows}
    naive = rate[OURS] / rate["xarray, patch by patch"]
    ratio = round(rate[OURS] / rate[best], 2) if best else None
    return [
        record.claim(f"samples a second against the fastest xbatcher ({best})", ratio, "times", ">=", 5),
        record.claim("samples a second against xarray, patch by patch", round(naive, 2), "times", ">=", 5),
        record.claim("first batch of a continent", by_job["first batch of a continent"]["median_s"], "s", "<=", 5),
        record.claim(
            "share of its time that the CNN waits for samples", by_job["waiting of the CNN"]["waiting"], "", "<=", 0.1
        ),
    ]  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="fewer patches, rounds and epochs")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    parser.add_argument("--folder", type=Path, help="where to write the cubes (default: the system's temporary folder)")
    options = parser.parse_args()
    facts = machine.facts(("torch", "pytorch-lightning", "zarr", "xarray", "xbatcher", "dask", "numpy", "smdown"))
    facts["device"] = torch.cuda.get_device_name() if torch.cuda.is_available() else "CPU"
    quick = options.quick
    with tempfile.TemporaryDirectory(dir=options.folder) as name:
        folder = Path(name)
        rows = Loading(folder / "static", 6 if quick else 10).run(3 if quick else 5)
        spec = make_region(folder / "all", 8, 365, (9, 90, 180), 3 if quick else 12)
        rows.append(first_batch(spec, 3 if quick else 5))
        rows.append(waiting(spec, 60 if quick else 365, 2 if quick else 4, 300_000 if quick else 1_000_000, folder))
    for row in rows:
        print("  ".join(f"{key} {value}" for key, value in row.items()))
    promises = claims(rows)
    for promise in promises:
        held = "holds" if promise["holds"] else "FAILS"
        print(f"{held:<6} {promise['value']} ({promise['bar']})  {promise['claim']}")
    if options.json:
        record.write(options.json, facts, rows, promises)


if __name__ == "__main__":
    main()
