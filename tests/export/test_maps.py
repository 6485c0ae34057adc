from __future__ import annotations

import json
import sys

import numpy as np
import pystac
import pytest
import rasterio
from PIL import Image
from pyproj import Transformer
from pystac.errors import STACValidationError
from pystac.extensions import projection, raster
from pystac.extensions.projection import ProjectionExtension
from pystac.extensions.raster import RasterExtension
from pystac.validation.stac_validator import JsonSchemaSTACValidator
from rio_cogeo import cog_validate

from smdown.cubes import CubeSpec, Variable, create_cube
from smdown.errors import ConfigError, CubeError
from smdown.export import export_maps
from smdown.export.stac import footprint
from smdown.grid import RasterGrid
from tests.inference.fakes import DAYS


@pytest.fixture(scope="module")
def folder(mosaic, tmp_path_factory):
    home = tmp_path_factory.mktemp("maps") / "out"
    heard = []
    found = export_maps(mosaic[0].url, home, crs="EPSG:5070", name="demo", tell=lambda *what: heard.append(what))
    assert found == home / "collection.json"
    assert heard[-1] == ("", 10, 10)
    return home


NUMBER = {"type": "number"}
MOMENTS = ("mean", "minimum", "maximum", "stddev", "valid_percent")
PROJECTION = {
    "proj:code": {"type": ["string", "null"], "pattern": "^[^:]+:[^:]+$"},
    "proj:wkt2": {"type": "string"},
    "proj:bbox": {"type": "array", "minItems": 4, "maxItems": 4, "items": NUMBER},
    "proj:shape": {"type": "array", "minItems": 2, "maxItems": 2, "items": {"type": "integer"}},
    "proj:transform": {"type": "array", "minItems": 6, "maxItems": 6, "items": NUMBER},
}
BAND = {
    "data_type": {"enum": ["int16", "uint8", "float32"]},
    "sampling": {"enum": ["area", "point"]},
    "nodata": {"oneOf": [NUMBER, {"enum": ["nan", "inf", "-inf"]}]},
    "unit": {"type": "string"},
    "statistics": {"properties": dict.fromkeys(MOMENTS, NUMBER), "additionalProperties": False, "minProperties": 1},
} | dict.fromkeys(("scale", "offset", "spatial_resolution"), NUMBER)
BANDS = {"minItems": 1, "items": {"properties": BAND, "additionalProperties": False, "minProperties": 1}}
OTHER_PROJ = "^proj:(?!(code|wkt2|bbox|shape|transform)$)"
EXTENSIONS = {
    projection.SCHEMA_URI: {
        "properties": {"properties": {"properties": PROJECTION, "patternProperties": {OTHER_PROJ: False}}}
    },
    raster.SCHEMA_URI: {"properties": {"assets": {"additionalProperties": {"properties": {"raster:bands": BANDS}}}}},
}
"""Types and names of those fields of the two extensions that are used here: no package brings their own schemas."""


def validate(document):
    """Let pystac's validator look at a document, with the STAC 1.1 schemas that it brings; no network is needed."""
    validator = JsonSchemaSTACValidator()
    for uri, schema in EXTENSIONS.items():
        validator.schema_cache[uri] = {"$schema": "http://json-schema.org/draft-07/schema#", "$id": uri, **schema}
    kind = pystac.STACObjectType(document["type"])
    checked = validator.validate(document, kind, "1.1.0", document.get("stac_extensions", []))
    assert len(checked) == 1 + (2 if kind == pystac.STACObjectType.ITEM else 0)


def documents(folder):
    return {path: json.loads(path.read_text()) for path in sorted(folder.rglob("*.json"))}


def test_every_layer_of_every_day_is_there_and_nothing_else(folder, mosaic):
    for day in DAYS[:2]:
        names = {p.name for p in (folder / day).iterdir()}
        tifs = {f"{name}_{day}.tif" for name in mosaic[0].variables}
        beside = {f"{name}_{day}.qml" for name in mosaic[0].variables}
        assert names == tifs | beside | {f"flags_{day}.tif.aux.xml", f"demo_{day}.json", "thumbnail.png"}
        assert all(cog_validate(folder / day / tif, strict=True)[0] for tif in tifs)
    assert {p.name for p in folder.iterdir()} == {"collection.json", *DAYS[:2]}


def test_the_catalogue_is_valid_stac(folder):
    found = documents(folder)
    assert len(found) == 3
    for document in found.values():
        assert document["stac_version"] == "1.1.0"
        validate(document)
    item = found[folder / DAYS[1] / f"demo_{DAYS[1]}.json"]
    for change in (
        {"links": "none"},
        {"properties": {**item["properties"], "proj:shape": [1.5, 2]}},
        {"assets": {"a": {"href": "a.tif", "raster:bands": [{"data_type": "int17"}]}}},
    ):
        with pytest.raises(STACValidationError):
            validate(item | change)


def test_the_catalogue_is_self_contained(folder, tmp_path):
    moved = tmp_path / "elsewhere"
    folder.rename(moved)
    try:
        collection = pystac.Collection.from_file(str(moved / "collection.json"))
        items = list(collection.get_items())
        assert [item.id for item in items] == [f"demo_{day}" for day in DAYS[:2]]
        for item in items:
            assert item.get_collection() is collection
            for asset in item.assets.values():
                assert asset.href.startswith("./")
                assert open(asset.get_absolute_href(), "rb").read(1)  # noqa: PTH123, SIM115
        texts = "".join(path.read_text() for path in documents(moved))
        assert str(folder) not in texts
        assert all(link["href"].startswith((".", "..")) for d in documents(moved).values() for link in d["links"])
    finally:
        moved.rename(folder)


def test_items_say_what_their_files_say(folder, mosaic):
    """The rules of the projection (v2.0.0) and raster (v1.1.0) extensions that matter, held against the files."""
    cube, _ = mosaic
    item = pystac.Item.from_file(str(folder / DAYS[1] / f"demo_{DAYS[1]}.json"))
    grid = ProjectionExtension.ext(item)
    assert item.datetime.date().isoformat() == DAYS[1]
    assert {e.rsplit("/", 3)[-3] for e in item.stac_extensions} == {"projection", "raster"}
    maps = {key: asset for key, asset in item.assets.items() if key != "thumbnail"}
    assert set(maps) == set(cube.variables)
    for name, asset in maps.items():
        assert asset.media_type == pystac.MediaType.COG
        (band,) = RasterExtension.ext(asset).bands
        with rasterio.open(folder / DAYS[1] / asset.href) as file:
            assert grid.code == "EPSG:5070" == str(file.crs)
            assert tuple(grid.shape) == file.shape
            assert grid.transform == pytest.approx(list(file.transform)[:6])
            assert grid.bbox == pytest.approx(list(file.bounds))
            assert (band.nodata, band.data_type) == (file.nodata, file.dtypes[0])
            assert (band.unit or None, band.scale or 1.0, band.offset or 0.0) == (file.units[0], file.scales[0], 0.0)
            values = file.read(1, masked=True)
            assert band.spatial_resolution == pytest.approx(file.res[0], rel=1e-6)
        if name.startswith("sm_surface"):
            assert band.statistics.minimum == values.min()
            assert band.statistics.mean == pytest.approx(values.mean(), rel=1e-5)
    assert "2 required driver missing" in maps["flags"].description
    assert item.properties["smdown:bundle"] == "abc"


def test_the_footprint_is_where_the_map_lies(folder, mosaic):
    grid = mosaic[0].raster
    item = pystac.Item.from_file(str(folder / DAYS[1] / f"demo_{DAYS[1]}.json"))
    to_degrees = Transformer.from_crs(grid.crs, "EPSG:4326", always_xy=True)
    lon, lat = to_degrees.transform(grid.x[[0, -1]], grid.y[[0, -1]])
    west, south, east, north = item.bbox
    half = 0.002  # about a pixel
    assert west < lon[0] < west + half
    assert east - half < lon[1] < east
    assert south < lat[1] < south + half
    assert north - half < lat[0] < north
    collection = pystac.Collection.from_file(str(folder / "collection.json"))
    assert collection.extent.spatial.bboxes == [item.bbox]
    first, last = collection.extent.temporal.intervals[0]
    assert (first.date().isoformat(), last.date().isoformat()) == (DAYS[0], DAYS[1])


def test_a_bent_edge_has_more_points_than_a_straight_one():
    straight = footprint(RasterGrid("EPSG:6933", -1e7, 4e6, 3e4, -3e4, 30, 30))
    bent = footprint(RasterGrid("EPSG:5070", -1e6, 2e6, 3e4, -3e4, 30, 30))
    assert len(straight) == 5
    assert len(bent) > 40
    for ring in (straight, bent):
        x, y = np.array(ring).T
        assert ring[0] == ring[-1]
        assert (x[:-1] * y[1:] - x[1:] * y[:-1]).sum() > 0  # counterclockwise, as RFC 7946 wants


def test_the_thumbnail_shows_values_and_leaves_the_rest_clear(folder):
    image = np.asarray(Image.open(folder / DAYS[1] / "thumbnail.png"))
    with rasterio.open(folder / DAYS[1] / f"sm_surface_{DAYS[1]}.tif") as file:
        known = file.read(1) != file.nodata
    assert image.shape == (*known.shape, 4)
    assert np.array_equal(image[..., 3] == 255, known)
    assert len(np.unique(image[known][:, 0])) > 20
    empty = np.asarray(Image.open(folder / DAYS[0] / "thumbnail.png"))  # a day without any value
    assert not empty[..., 3].any()


def test_a_second_call_keeps_what_is_finished(folder, mosaic):
    times = {p: p.stat().st_mtime_ns for p in folder.rglob("*") if p.suffix in (".tif", ".qml", ".png")}
    texts = documents(folder)
    lost = folder / DAYS[0] / f"sm_surface_{DAYS[0]}.tif"
    lost.unlink()
    export_maps(mosaic[0].url, folder, crs="EPSG:5070", name="demo")
    assert lost.exists()
    changed = {p.name for p, t in times.items() if p.stat().st_mtime_ns != t}
    assert changed == {lost.name, lost.with_suffix(".qml").name}
    assert documents(folder) == texts


def test_maps_of_another_kind_do_not_join(folder, mosaic):
    before = documents(folder)
    with pytest.raises(ConfigError, match="another mosaic or on another grid"):
        export_maps(mosaic[0].url, folder, name="demo")
    assert documents(folder) == before


def test_layers_and_days_join_one_by_one(mosaic, tmp_path):
    url = mosaic[0].url
    export_maps(url, tmp_path, layers=["flags"], days=[DAYS[1]], resolution=600)
    export_maps(url, tmp_path, layers=["sm_surface"], days=[DAYS[0], DAYS[1]], resolution=600)
    items = list(pystac.Collection.from_file(str(tmp_path / "collection.json")).get_items())
    assert [sorted(item.assets) for item in items] == [
        ["sm_surface", "thumbnail"],
        ["flags", "sm_surface", "thumbnail"],
    ]


def test_days_that_were_appended_to_the_mosaic_join(growing, tmp_path):
    home = tmp_path / "out"
    export_maps(growing(DAYS[:1]), home, layers=["sm_surface"])
    first = home / DAYS[0] / f"sm_surface_{DAYS[0]}.tif"
    before = first.stat().st_mtime_ns
    export_maps(growing(DAYS[:2]), home, layers=["sm_surface"])
    assert first.stat().st_mtime_ns == before
    items = pystac.Collection.from_file(str(home / "collection.json")).get_items()
    assert sorted(str(item.datetime)[:10] for item in items) == list(DAYS[:2])


def test_degrees_and_nameless_systems_are_described(mosaic, tmp_path):
    export_maps(mosaic[0].url, tmp_path / "a", layers=["sm_surface"], days=[DAYS[1]], crs="EPSG:4326")
    export_maps(
        mosaic[0].url, tmp_path / "b", layers=["sm_surface"], days=[DAYS[1]], crs="+proj=laea +lat_0=30 +lon_0=-105"
    )
    for home, code in ((tmp_path / "a", "EPSG:4326"), (tmp_path / "b", None)):
        item = pystac.Item.from_file(str(home / DAYS[1] / f"smdown_{DAYS[1]}.json"))
        validate(item.to_dict())
        assert ProjectionExtension.ext(item).code == code
        assert ProjectionExtension.ext(item).crs_string
        (band,) = RasterExtension.ext(item.assets["sm_surface"]).bands
        assert band.spatial_resolution == pytest.approx(150, rel=0.2)
        validate(json.loads((home / "collection.json").read_text()))


def test_without_pystac_there_are_maps_on_request(mosaic, tmp_path, monkeypatch):
    monkeypatch.setattr("smdown.export.maps.find_spec", lambda name: None)
    monkeypatch.setitem(sys.modules, "pystac", None)
    with pytest.raises(ConfigError, match=r"smdown\[stac\]"):
        export_maps(mosaic[0].url, tmp_path / "out")
    assert not (tmp_path / "out").exists()
    assert export_maps(mosaic[0].url, tmp_path / "out", layers=["flags"], stac=False) == tmp_path / "out"
    assert not list((tmp_path / "out").rglob("*.json"))
    assert len(list((tmp_path / "out").rglob("*.tif"))) == 2


def test_bad_requests_write_nothing(mosaic, make_square, tmp_path):
    (tmp_path / "file").write_text("")
    for wanted, message in (
        ({"layers": ["moisture"]}, "moisture"), ({"days": ["2030-01-01"]}, "2030-01-01"), ({"crs": "EPSG:0"}, "EPSG:0"),
    ):  # fmt: skip
        with pytest.raises((ConfigError, CubeError), match=message):
            export_maps(mosaic[0].url, tmp_path / "out", **wanted)
    with pytest.raises(ConfigError, match="a file"):
        export_maps(mosaic[0].url, tmp_path / "file")
    with pytest.raises(ConfigError, match="local"):
        export_maps(mosaic[0].url, "s3://bucket/maps")
    with pytest.raises(CubeError, match="0 of 1 tiles"):
        export_maps(make_square(np.full((40, 40), 0.2), finish=False).url, tmp_path / "out")
    assert [p.name for p in tmp_path.iterdir()] == ["file"]


def test_values_that_are_not_packed_are_exported_too(tmp_path):
    grid = RasterGrid("EPSG:32614", 6e5, 39e5, 30.0, -30.0, 40, 50)
    layer = Variable("sm", ("time", "y", "x"), "float32")
    cube = create_cube(str(tmp_path / "map.zarr"), CubeSpec(grid, (layer,), DAYS[:1], 64, 32))
    values = np.random.default_rng(0).normal(size=(40, 50)).astype(np.float32)
    values[3] = np.nan
    cube.write("sm", values, grid.window, 0)
    cube.finish()
    export_maps(cube.url, tmp_path / "out")
    with rasterio.open(tmp_path / "out" / DAYS[0] / f"sm_{DAYS[0]}.tif") as file:
        assert np.array_equal(file.read(1), values, equal_nan=True)
    for document in documents(tmp_path / "out").values():
        validate(document)
