"""Measure the cubes' layout against others: writing whole tiles, reading tiles and cells, beside the disk's own rate.

``python -m benchmarks.cubes [--quick] [--json FILE] [--folder DIR]``. Every method holds the same packed field. Methods
take turns in each round, and the median of the rounds counts. Reading is from the page cache, and once more from the
disk after the pages were given up. ``zarrs`` reads too where it is installed (``pip install zarrs``).
"""

from __future__ import annotations

import argparse
import os
import shutil
import tempfile
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from statistics import median
from typing import Any

import numpy as np
import zarr
from scipy.ndimage import zoom
from zarr.codecs import BloscCodec, Crc32cCodec, ZstdCodec

from benchmarks import machine, record
from smdown.cubes import Cube, CubeSpec, Variable, create_cube, store
from smdown.cubes.codec import ShardCodec
from smdown.cubes.create import COMPRESSORS
from smdown.grid import RasterGrid, Window

TILE, CELL = 1200, 300
"""Pixels along a tile (four coarse cells, the default) and along a cell."""
CRC = Crc32cCodec()
_BLOSC = COMPRESSORS[0]
OURS = f"ours: shard 1200, chunk 300, {_BLOSC.cname.value}-{_BLOSC.clevel} {_BLOSC.shuffle.value}, crc"


@dataclass(frozen=True)
class Method:
    """One way to lay out the field; `shard` 0 is plain chunks."""

    name: str
    shard: int
    chunk: int
    codecs: tuple[Any, ...]

    @property
    def checked(self) -> bool:
        """Whether a flipped bit would be noticed."""
        return CRC in self.codecs


def blosc(name: str, level: int, shuffle: Any = "shuffle") -> BloscCodec:
    return BloscCodec(cname=name, clevel=level, shuffle=shuffle)  # type: ignore[arg-type]


def methods(quick: bool) -> list[Method]:
    zstd = blosc("zstd", 1)
    best = [
        Method("shard, chunk 300, zstd-1 shuffle, crc", TILE, CELL, (zstd, CRC)),
        Method("shard, chunk 150, zstd-1 shuffle, crc", TILE, 150, (zstd, CRC)),
        Method("shard, chunk 600, zstd-1 shuffle, crc", TILE, 600, (zstd, CRC)),
        Method("shard, chunk 300, zstd-1 bitshuffle, crc", TILE, CELL, (blosc("zstd", 1, "bitshuffle"), CRC)),
        Method("shard, chunk 300, zstd-3 shuffle, crc", TILE, CELL, (blosc("zstd", 3), CRC)),
        Method("shard, chunk 300, lz4-5 shuffle, crc", TILE, CELL, (blosc("lz4", 5), CRC)),
        Method("plain 300, zstd-1 shuffle, crc", 0, CELL, (zstd, CRC)),
        Method("plain 600, zstd-1 shuffle, crc", 0, 600, (zstd, CRC)),
        Method("plain 1200, zstd-1 shuffle, crc", 0, TILE, (zstd, CRC)),
        Method("plain 1200, lz4-5 shuffle, crc", 0, TILE, (blosc("lz4", 5), CRC)),
        Method("plain 300, zarr's default (zstd-0, no crc)", 0, CELL, (ZstdCodec(),)),
    ]
    more = [
        Method("shard, chunk 300, zstd-1 shuffle, no crc", TILE, CELL, (zstd,)),
        Method("shard, chunk 300, lz4-5 bitshuffle, crc", TILE, CELL, (blosc("lz4", 5, "bitshuffle"), CRC)),
        Method("shard, chunk 300, zstd-1, no shuffle, crc", TILE, CELL, (blosc("zstd", 1, "noshuffle"), CRC)),
        Method("plain 1200, zarr's default (zstd-0, no crc)", 0, TILE, (ZstdCodec(),)),
        Method("plain 1200, zstd-3, no crc", 0, TILE, (ZstdCodec(level=3),)),
        Method("plain 1200, not compressed, no crc", 0, TILE, ()),
    ]
    others = [
        m
        for m in (best if quick else best + more)
        if OURS.partition(": ")[2] != m.name.replace("shard,", "shard 1200,")
    ]
    return [Method(OURS, TILE, CELL, COMPRESSORS), *others]


def field(side: int) -> np.ndarray[Any, Any]:
    """Soil moisture as a mosaic has it: structure from cells down to pixels, packed with 1e-4."""
    rng = np.random.default_rng(0)
    values = np.full((side, side), 0.25, dtype=np.float32)
    for step, size in ((300, 0.08), (60, 0.04), (12, 0.02), (3, 0.006), (1, 0.001)):
        coarse = rng.normal(0, size, (side // step + 2, side // step + 2)).astype(np.float32)
        values += zoom(coarse, step, order=1)[:side, :side] if step > 1 else coarse[:side, :side]
    counts = np.rint(values.clip(0.01, 0.6) * 1e4).astype(np.int16)
    counts[: side // 12, : side // 3] = np.iinfo(np.int16).min  # a lake
    return counts


class Bench:
    """Timings by job and method."""

    def __init__(self, folder: Path, side: int) -> None:
        self.folder, self.counts = folder, field(side)
        self.places = [
            (slice(y, y + TILE), slice(x, x + TILE)) for y in range(0, side, TILE) for x in range(0, side, TILE)
        ]
        rng = np.random.default_rng(1)
        self.cells = [
            tuple(slice(k * CELL, (k + 1) * CELL) for k in rng.integers(0, side // CELL, 2)) for _ in range(32)
        ]
        self.times: dict[tuple[str, str], list[float]] = {}
        self.stored: dict[str, tuple[int, int]] = {}

    def clock(self, job: str, name: str, work: Callable[[], object]) -> None:
        start = time.perf_counter()
        work()
        self.times.setdefault((job, name), []).append(time.perf_counter() - start)

    def round(self, method: Method) -> None:
        """Write and read the field once."""
        path = self.folder / "field.zarr"
        shutil.rmtree(path, ignore_errors=True)
        array = zarr.create_array(
            zarr.storage.LocalStore(path), shape=self.counts.shape, dtype="int16", fill_value=-32768,
            chunks=(method.chunk, method.chunk), shards=(method.shard, method.shard) if method.shard else None,
            compressors=method.codecs or None, config={"write_empty_chunks": True},
        )  # fmt: skip
        self.clock("write tiles", method.name, lambda: [array.__setitem__(p, self.counts[p]) for p in self.places])
        files = [p for p in path.rglob("*") if p.is_file()]
        self.clock("sync what was written", method.name, lambda: [_sync(p) for p in files])
        self.stored[method.name] = len(files) - 1, sum(p.stat().st_size for p in files)
        self.reading(method.name, path)
        if method.shard and method.checked:
            self.direct(f"{method.name} | smdown", path, ShardCodec.of(array.metadata.to_dict()))
        if find_spec("zarrs"):
            import zarrs  # noqa: F401 - registers its pipeline

            with zarr.config.set({"codec_pipeline.path": "zarrs.ZarrsCodecPipeline"}):
                self.reading(f"{method.name} | zarrs", path)

    def reading(self, name: str, path: Path) -> None:
        array = zarr.open_array(zarr.storage.LocalStore(path, read_only=True), mode="r")
        self.clock("read tiles", name, lambda: [array[p] for p in self.places])
        self.clock("read cells", name, lambda: [array[c] for c in self.cells])
        for file in path.rglob("*"):
            if file.is_file():
                _forget(file)
        self.clock("read tiles from disk", name, lambda: [array[p] for p in self.places])
        assert np.array_equal(array[self.places[-1]], self.counts[self.places[-1]])

    def direct(self, name: str, path: Path, codec: ShardCodec) -> None:
        """Write and read shards as `Cube` does, without its packing."""
        urls = [str(path / f"c/{y.start // TILE}/{x.start // TILE}") for y, x in self.places]
        parts = [(url, self.counts[place]) for url, place in zip(urls, self.places, strict=True)]
        self.clock("write tiles", name, lambda: [store.put(url, codec.encode(part, -32768)) for url, part in parts])
        out, cell = np.empty((TILE, TILE), np.int16), np.empty((CELL, CELL), np.int16)
        whole = Window(0, TILE, 0, TILE)

        def read_cells() -> None:
            for y, x in self.cells:
                place = Window(y.start % TILE, y.start % TILE + CELL, x.start % TILE, x.start % TILE + CELL)
                codec.read(str(path / f"c/{y.start // TILE}/{x.start // TILE}"), place, cell)

        self.clock("read tiles", name, lambda: [codec.read(u, whole, out) for u in urls])
        assert np.array_equal(out, self.counts[self.places[-1]])
        self.clock("read cells", name, read_cells)
        for url in urls:
            _forget(Path(url))
        self.clock("read tiles from disk", name, lambda: [codec.read(u, whole, out) for u in urls])

    def cube_round(self) -> None:
        """Do the same through `Cube`: packing, guards and receipts included."""
        cube = _cube(self.folder / "cube.zarr", len(self.counts))
        windows = [Window(y.start, y.stop, x.start, x.stop) for y, x in self.places]
        values = [cube.variables["sm"].unpack(self.counts[p]) for p in self.places]
        self.clock("write tiles", "Cube.write, packing float32", lambda: _write(cube, windows, values))
        self.clock("read tiles", "Cube.read, unpacking", lambda: [cube.read("sm", w) for w in windows])
        cells = [Window(y.start, y.stop, x.start, x.stop) for y, x in self.cells]
        self.clock("read cells", "Cube.read, unpacking", lambda: [cube.read("sm", c) for c in cells])

    def disk_round(self) -> None:
        """Write and read a file of the field's own size in one piece."""
        path, data = self.folder / "plain", self.counts.tobytes()
        path.unlink(missing_ok=True)
        self.clock("write tiles", "the disk: one file", lambda: path.write_bytes(data))
        self.clock("sync what was written", "the disk: one file", lambda: _sync(path))
        self.clock("read tiles", "the disk: one file", path.read_bytes)
        _forget(path)
        self.clock("read tiles from disk", "the disk: one file", path.read_bytes)

    def results(self) -> Iterator[dict[str, Any]]:
        """Yield a row for each job and method."""
        for (job, name), seconds in self.times.items():
            pixels = CELL * CELL * len(self.cells) if job == "read cells" else self.counts.size
            objects, size = self.stored.get(name.partition(" | ")[0], (1, self.counts.nbytes))
            middle = median(seconds)
            yield {
                "job": job, "method": name, "median_s": round(middle, 5), "least_s": round(min(seconds), 5),
                "mpx_s": round(pixels / 1e6 / middle, 2), "gb_s": round(2 * pixels / 1e9 / middle, 4),
                "objects": objects, "stored_mb": round(size / 1e6, 3),
            }  # fmt: skip


def _sync(path: Path) -> None:
    with path.open("rb") as file:
        os.fsync(file.fileno())


def _forget(path: Path) -> None:
    """Give up the pages of a file, so that the next reading comes from the disk."""
    with path.open("rb") as file:
        os.posix_fadvise(file.fileno(), 0, 0, os.POSIX_FADV_DONTNEED)


def _cube(path: Path, side: int) -> Cube:
    raster = RasterGrid("EPSG:6933", 0.0, 0.0, 30.0, -30.0, side, side)
    return create_cube(
        str(path), CubeSpec(raster, (Variable("sm", ("y", "x"), "int16", 1e-4),), (), TILE, CELL), overwrite=True
    )


def _write(cube: Cube, windows: list[Window], values: list[Any]) -> None:
    for window, part in zip(windows, values, strict=True):
        cube.write("sm", part, window)
        cube.commit(window.y0 // TILE, window.x0 // TILE)


def claims(rows: list[dict[str, Any]], chosen: list[Method]) -> list[dict[str, Any]]:
    """Set our rates beside the best of the others, each with its best reader, and beside zarrs."""
    rate = {(r["job"], r["method"]): r["mpx_s"] for r in rows}
    ours, found = f"{OURS} | smdown", []
    for job in ("write tiles", "read tiles", "read cells"):
        names = [name for j, name in rate if j == job and not name.startswith(OURS)]
        groups = {
            "plain chunks with checksums": {m.name for m in chosen if not m.shard and m.checked},
            "other shards with checksums": {m.name for m in chosen if m.shard and m.checked and m.name != OURS},
        }
        for what, group in groups.items():
            most = max((n for n in names if n.partition(" | ")[0] in group), key=lambda n: rate[job, n])
            text = f"{job}: our layout against the best {what} ({most})"
            found.append(record.claim(text, round(rate[job, ours] / rate[job, most], 3), "times", ">=", 0.9))
    zarrs = rate.get(("read tiles", f"{OURS} | zarrs"))
    text = "read tiles: our own reader against zarrs on the same shards"
    found.append(record.claim(text, zarrs and round(rate["read tiles", ours] / zarrs, 3), "times", ">=", 0.9))
    return found


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--quick", action="store_true", help="two by two tiles, three rounds")
    parser.add_argument("--json", type=Path, help="file to write the record to")
    parser.add_argument(
        "--folder", type=Path, help="where to write the arrays (default: the system's temporary folder)"
    )
    options = parser.parse_args()
    facts = machine.facts(("zarr", "numcodecs", "zarrs", "numpy", "smdown"))
    chosen = methods(options.quick)
    with tempfile.TemporaryDirectory(dir=options.folder) as folder:
        bench = Bench(Path(folder), TILE * (2 if options.quick else 3))
        for _ in range(3 if options.quick else 5):
            bench.disk_round()
            bench.cube_round()
            for method in chosen:
                bench.round(method)
    rows = list(bench.results())
    for row in sorted(rows, key=lambda r: (r["job"], -r["mpx_s"])):
        print(f"{row['job']:<22} {row['mpx_s']:>8.1f} Mpx/s {row['gb_s']:>7.3f} GB/s {row['objects']:>5} objects "
              f"{row['stored_mb']:>7.2f} MB  {row['method']}")  # fmt: skip
    promises = claims(rows, chosen)
    for promise in promises:
        print(
            f"{'holds' if promise['holds'] else 'FAILS':<6} {promise['value']} ({promise['bar']})  {promise['claim']}"
        )
    if options.json:
        record.write(options.json, facts, rows, promises)


if __name__ == "__main__":
    main()
