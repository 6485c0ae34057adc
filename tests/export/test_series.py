from __future__ import annotations

import json
import math
import shutil

import numpy as np
import pandas as pd
import pytest
import xarray as xr
from hypothesis import given, settings
from hypothesis import strategies as st
from pyproj import Transformer

from smdown.cubes import open_cube
from smdown.errors import ConfigError, CubeError, InputError, ResourceError
from smdown.export import point_series, polygon_series, read_points, read_polygons, write_series
from smdown.export.places import Point, Polygon
from tests.inference.fakes import DAYS


def degrees(raster, x, y):
    return Transformer.from_crs(raster.crs, "EPSG:4326", always_xy=True).transform(x, y)


def write_polygons(path, *rings, names=()):
    features = [
        {"type": "Feature", "properties": {"name": name} if name else None,
         "geometry": {"type": "Polygon", "coordinates": [ring] if isinstance(ring[0][0], float) else ring}}
        for ring, name in zip(rings, [*names, *[None] * len(rings)], strict=False)
    ]  # fmt: skip
    path.write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    return str(path)


def box(raster, y0, y1, x0, x1):
    """A ring around pixels y0 to y1 and x0 to x1, in degrees."""
    xs = [raster.x0 + n * raster.dx for n in (x0, x1, x1, x0, x0)]
    ys = [raster.y0 + n * raster.dy for n in (y0, y0, y1, y1, y0)]
    return [list(p) for p in zip(*degrees(raster, xs, ys), strict=True)]


@settings(max_examples=25)
@given(st.lists(st.tuples(st.integers(0, 299), st.integers(0, 179)), min_size=1, max_size=6))
def test_points_have_the_values_of_their_pixels(mosaic, pixels):
    cube, _ = mosaic
    raster = cube.raster
    points = [
        Point(str(n), *degrees(raster, float(raster.x[c]) + 40, float(raster.y[r]) - 40))
        for n, (r, c) in enumerate(pixels)
    ]
    table = point_series(cube.url, points).table
    assert len(table) == len(points) * 2 * 2
    truth = xr.open_zarr(cube.url)
    for row in table.itertuples():
        r, c = pixels[int(row.point)]
        there = truth.sel(time=row.time).isel(y=r, x=c)
        assert row.value == pytest.approx(float(there[row.layer]), nan_ok=True)
        assert row.std == pytest.approx(float(there[f"{row.layer}_std"]), nan_ok=True)
        assert row.flags == int(there["flags"])
        assert row.units == "m3 m-3"
        assert math.isnan(row.value) or str(row.value) == f"{row.value:.4f}".rstrip("0")  # no noise of float32


def test_only_what_holds_the_places_is_read(mosaic, tmp_path):
    """All shards but one are taken away: points and polygons in that one are still answered."""
    cube, field = mosaic
    url = str(tmp_path / "map.zarr")
    shutil.copytree(cube.url, url)
    for path in (tmp_path / "map.zarr").glob("*/c/*/*/*"):
        if path.parts[-2:] != ("1", "0") and "receipts" not in path.parts:
            path.unlink()
    raster, side = cube.raster, cube.spec.shard
    inside, outside = (
        Point(name, *degrees(raster, raster.x[5], raster.y[row])) for name, row in (("in", side + 7), ("out", 3))
    )
    table = point_series(url, [inside], ["sm_surface"], [DAYS[1]]).table
    assert table["value"].item() == pytest.approx(field[side + 7, 5], abs=0.51e-4)
    with pytest.raises(CubeError, match="lost"):
        point_series(url, [outside], ["sm_surface"], [DAYS[1]])
    area = write_polygons(tmp_path / "a.json", box(raster, side + 2, side + 9, 3, 20))
    found = polygon_series(url, read_polygons([area]), ["sm_surface"], [DAYS[1]]).table
    assert found["count"].item() == 7 * 17


def test_polygons_have_the_statistics_of_their_pixels(mosaic, tmp_path):
    cube, _ = mosaic
    raster = cube.raster
    boxes = {"hole and shards": (20, 130, 30, 150), "small": (60, 62, 10, 13), "edge": (290, 320, -5, 4)}
    path = write_polygons(tmp_path / "p.geojson", *(box(raster, *b) for b in boxes.values()), names=boxes)
    table = polygon_series(cube.url, read_polygons([path]), ["sm_surface"], [DAYS[1]]).table.set_index("polygon")
    truth = xr.open_zarr(cube.url).sel(time=DAYS[1])
    for name, (y0, y1, x0, x1) in boxes.items():
        part = truth.isel(y=slice(max(y0, 0), y1), x=slice(max(x0, 0), x1))
        row = table.loc[name]
        assert row["count"] == int(part["sm_surface"].notnull().sum())
        assert row["share_valid"] == pytest.approx(float(part["sm_surface"].notnull().mean()), abs=1e-6)
        assert row["mean"] == pytest.approx(float(part["sm_surface"].mean()), abs=2e-7)
        assert row["spatial_std"] == pytest.approx(float(part["sm_surface"].std()), abs=1e-6)
        assert row["mean_std"] == pytest.approx(float(part["sm_surface_std"].mean()), abs=2e-7)
    assert table["share_valid"]["hole and shards"] < 1


def test_holes_of_polygons_and_their_parts(mosaic, tmp_path):
    cube, _ = mosaic
    ring, hole, island = (box(cube.raster, *b) for b in ((60, 100, 10, 50), (70, 80, 20, 30), (200, 210, 100, 110)))
    geometry = {"type": "MultiPolygon", "coordinates": [[ring, hole], [island]]}
    (tmp_path / "p.json").write_text(json.dumps({"type": "Feature", "id": 7, "geometry": geometry}))
    table = polygon_series(cube.url, read_polygons([str(tmp_path / "p.json")]), ["sm_surface"], [DAYS[1]]).table
    assert table["polygon"].item() == "7"
    assert table["count"].item() == 1600 - 100 + 100


def test_straight_lines_are_straight_in_degrees(make_square):
    """A long edge along a parallel is bent in UTM: the pixels beneath the bend belong to the polygon."""
    cube = make_square(np.repeat(np.arange(60)[:, None] / 100, 3000, axis=1), shard=512, chunk=64)
    raster = cube.raster
    lon, lat = degrees(raster, raster.x[[0, -1]], raster.y[[20, 20]])
    west, east, top = float(lon[0]), float(lon[1]), float(lat[0])
    ring = np.array([[west, top], [west, top - 0.005], [east, top - 0.005], [east, top], [west, top]])
    found = polygon_series(cube.url, [Polygon("p", ((ring,),))]).table
    lons, lats = degrees(raster, *np.meshgrid(raster.x, raster.y))
    inside = (lons > west) & (lons < east) & (lats < top) & (lats > top - 0.005)
    assert found["count"].item() == pytest.approx(inside.sum(), rel=1e-3)
    assert found["mean"].item() == pytest.approx(np.nonzero(inside)[0].mean() / 100, abs=1e-3)  # a tenth of a pixel


def test_places_outside_are_named(mosaic, tmp_path):
    cube, _ = mosaic
    raster = cube.raster
    good = degrees(raster, raster.x[3], raster.y[3])
    series = point_series(cube.url, read_points([f"{good[0]},{good[1]}", "0,0", "200,10"]))
    assert series.left_out == ("0,0", "200,10")
    assert len(series.table) == 4
    with pytest.raises(InputError, match="outside the map, which has longitude -105"):
        point_series(cube.url, read_points(["0,0"]))
    path = write_polygons(
        tmp_path / "p.json", box(raster, 0, 9, 0, 9), [[1.0, 1.0], [2.0, 1.0], [2.0, 2.0], [1.0, 1.0]]
    )
    assert polygon_series(cube.url, read_polygons([path])).left_out == ("2",)
    tiny = write_polygons(tmp_path / "t.json", box(raster, 3.1, 3.2, 3.1, 3.2))
    with pytest.raises(InputError, match="centre of a pixel"):
        polygon_series(cube.url, read_polygons([tiny]))


def test_tables_of_points(tmp_path):
    (tmp_path / "a.csv").write_text("Station,Lat,Lon\nx,35.5,-97\ny,36,260\n")
    (tmp_path / "b.csv").write_text("longitude,latitude\n1,2\n")
    found = read_points([str(tmp_path / "a.csv"), str(tmp_path / "b.csv"), "-97.5, 35"])
    assert found == [Point("x", -97, 35.5), Point("y", -100, 36), Point("1", 1, 2), Point("-97.5,35", -97.5, 35)]


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("lon,lat\n", "without any point"),
        ("a,b\n1,2\n", "needs longitude and latitude"),
        ("lon,lat\n1,95\n", "latitude 95"),
        ("lon,lat\n1,2\n1,here\n", "row 2"),
        ('lon,lat\n"1,2\n', "no table"),
    ],
)
def test_bad_tables_are_named(tmp_path, text, message):
    (tmp_path / "p.csv").write_text(text)
    with pytest.raises(InputError, match=message):
        read_points([str(tmp_path / "p.csv")])


RING = [[0.0, 0.0], [1.0, 0.0], [1.0, 1.0], [0.0, 0.0]]


@pytest.mark.parametrize(
    ("document", "message"),
    [
        ("{", "no GeoJSON"),
        ("[]", "no GeoJSON feature"),
        ({"type": "FeatureCollection", "features": 5}, "no GeoJSON feature"),
        ({"type": "FeatureCollection", "features": []}, "no GeoJSON feature"),
        ({"type": "Feature", "geometry": {"type": "Point", "coordinates": [1, 2]}}, "type Point"),
        ({"type": "Feature", "geometry": None}, "type None"),
        ({"type": "Polygon", "coordinates": []}, "without coordinates"),
        ({"type": "Polygon", "coordinates": [RING[:3]]}, "no closed rings"),
        ({"type": "Polygon", "coordinates": [[*RING[:3], [0.0, 0.1]]]}, "no closed rings"),
        ({"type": "Polygon", "coordinates": [[[x * 1e6, y] for x, y in RING]]}, "longitude and latitude"),
        ({"type": "Polygon", "coordinates": [[["a", 1], *RING]]}, "no closed rings"),
    ],
)
def test_bad_polygons_are_named(tmp_path, document, message):
    path = tmp_path / "p.json"
    path.write_text(document if isinstance(document, str) else json.dumps(document))
    with pytest.raises(InputError, match=message) as found:
        read_polygons([str(path)])
    assert "\n" not in str(found.value)


def test_polygons_are_named_by_what_is_there(tmp_path):
    shape = {"type": "Polygon", "coordinates": [RING]}
    abouts = ({"id": None, "properties": {"name": "a"}}, {"properties": {"name": None}}, {"properties": [1]}, {"id": 0})
    features = [{"type": "Feature", "geometry": shape, **about} for about in abouts]
    (tmp_path / "p.json").write_text(json.dumps({"type": "FeatureCollection", "features": features}))
    assert [polygon.name for polygon in read_polygons([str(tmp_path / "p.json")])] == ["a", "2", "3", "0"]


def test_a_table_that_cannot_be_written_is_named(tmp_path):
    (tmp_path / "folder.csv").mkdir()
    (tmp_path / "file").write_text("mine")
    for name in ("folder.csv", "file/table.csv"):
        with pytest.raises(ResourceError, match="could not write"):
            write_series(pd.DataFrame({"time": ["2020-01-01"]}), str(tmp_path / name))
    assert {p.name for p in tmp_path.iterdir()} == {"folder.csv", "file"}


def test_missing_files_are_named(tmp_path):
    for reader in (read_points, read_polygons):
        with pytest.raises(InputError, match="nothing is"):
            reader([str(tmp_path / "none.csv")])


def test_csv_and_parquet_hold_the_same(mosaic, tmp_path):
    cube, _ = mosaic
    raster = cube.raster
    points = [Point(str(n), *degrees(raster, raster.x[40], raster.y[n])) for n in (29, 31)]
    table = point_series(cube.url, points).table
    text = pd.read_csv(write_series(table, str(tmp_path / "t.csv")), parse_dates=["time"], dtype={"point": str})
    binary = pd.read_parquet(write_series(table, str(tmp_path / "t.parquet")))
    for name in table.columns:
        if name in ("time", "flags"):
            assert (text[name].to_numpy() == binary[name].to_numpy()).all()
        else:
            assert text[name].equals(binary[name].astype(text[name].dtype)), name
    assert binary["time"].dtype.kind == "M"
    write_series(table, "memory://tables/t.csv")
    for bad in ("t.xlsx", "t"):
        with pytest.raises(ConfigError, match=r"\.csv or \.parquet"):
            write_series(table, str(tmp_path / bad))


def test_layers_that_are_none_are_named(mosaic):
    points = [Point("a", -105, 30)]
    for name in ("flags", "sm_surface_std", "other"):
        with pytest.raises(CubeError, match="has sm_surface, sm_rootzone"):
            point_series(mosaic[0].url, points, [name])
    assert open_cube(mosaic[0].url)
