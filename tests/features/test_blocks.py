"""A window that needs much of a source is filled in blocks; pixels hardly coarser than the source's stay sharp."""

import numpy as np
import pytest

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.features import reader
from smdown.features.geometry import Geometry
from smdown.features.loader import Loader
from smdown.features.pixels import Pixels
from smdown.features.reader import SourceReader
from smdown.grid import RasterGrid
from tests.features.world import BASE

DAY = np.datetime64("2020-04-18", "ns")


@pytest.mark.parametrize("ratio", [90, 9])
def test_blocks_leave_the_same_bytes(make_spec, ratio, monkeypatch):
    grid = BASE.at(ratio)
    window = grid.window.expand(2)
    whole = Loader(make_spec()).load(grid, window, DAY)
    monkeypatch.setattr(reader, "BLOCK_PX", 3000)
    assert Loader(make_spec()).load(grid, window, DAY).tobytes() == whole.tobytes()


def test_a_source_is_never_held_whole(tmp_path, monkeypatch):
    raster = RasterGrid("EPSG:32614", 500_000.0, 3_900_000.0, 30.0, -30.0, 900, 900)
    cube = create_cube(str(tmp_path / "it.zarr"), CubeSpec(raster, (Variable("v"),), (), 900, 900))
    cube.finish()
    asked = []
    monkeypatch.setattr(Pixels, "read", lambda _, name, w, time: asked.append(w) or np.zeros(w.shape, "f4"))
    monkeypatch.setattr(reader, "BLOCK_PX", 20_000)
    grid = BASE.at(9)
    SourceReader(cube, BASE).read(("v",), grid, grid.window, ())
    assert len(asked) > 9
    assert max(w.size for w in asked) < 120_000


def test_a_slightly_coarser_grid_keeps_the_field_sharp(tmp_path):
    """One arc-second to 30 m: an area average errs several times as much as the widened cubic."""
    raster = RasterGrid("EPSG:4326", -98.05, 35.12, 1 / 3600, -1 / 3600, 720, 720)
    x, y = raster.x - raster.x0, raster.y - raster.y0
    field = np.sin(x / 0.0006)[None] + np.cos(y / 0.0006)[:, None]  # waves of some 400 m
    cube = create_cube(str(tmp_path / "it.zarr"), CubeSpec(raster, (Variable("v"),), (), 720, 720))
    cube.write("v", field.astype(np.float32), raster.window)
    cube.finish()
    window = BASE.window.expand(-140)
    rows, cols = Geometry(raster, BASE).edges(BASE.ratio, window)
    px, py = (0.5 * (p[1:] + p[:-1]) * abs(step) for p, step in ((cols, raster.dx), (rows, raster.dy)))
    wanted = np.sin(px / 0.0006)[None] + np.cos(-py / 0.0006)[:, None]
    made = {m: SourceReader(cube, BASE).read(("v",), BASE, window, (), m)[0, 0] for m in ("auto", "cubic", "average")}
    error = {m: float(np.sqrt(np.mean((found - wanted) ** 2))) for m, found in made.items()}
    assert np.isfinite(made["auto"]).all()
    assert made["auto"].tobytes() == made["cubic"].tobytes()
    assert error["auto"] < error["average"] / 2, error
