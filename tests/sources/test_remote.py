"""Rasters behind URLs: a web server and an S3 server on loopback, and STAC over real HTTP."""

import json

import fsspec
import numpy as np
import pytest
import xarray as xr

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.sources import check, file_identity, ingest_plan
from smdown.sources.config import RasterConfig, ReflectanceConfig, StacFiles
from smdown.sources.quality import read_quality
from tests.cubes.conftest import bucket, s3_server  # noqa: F401 - fixtures
from tests.sources import kinds
from tests.sources.fabricate import ingest, write_tif
from tests.sources.kinds import KINDS
from tests.sources.loopback import serve


@pytest.fixture
def server(tmp_path):
    (tmp_path / "web").mkdir()
    with serve(tmp_path / "web") as running:
        yield running


@pytest.fixture
def context(tmp_path):
    return kinds.context(tmp_path / "out")


def values(url):
    return xr.open_zarr(url, chunks=None).load().drop_attrs()


def raster(path, **options):
    return RasterConfig(path=path, variables={"elevation": 1}, **options)


def test_web_address_is_read_in_ranges(server, context):
    west, _, _, north = context.lonlat
    field = np.random.default_rng(0).normal(500, 100, (1500, 1500)).astype("f4")
    tiled = {"tiled": True, "blockxsize": 256, "blockysize": 256}
    path = write_tif(server.folder / "dem.tif", field, west - 2, north + 2, 0.01, 0.01, **tiled)
    _, local = ingest(raster(str(path)), context, "local")
    url = f"{server.url}/dem.tif"
    _, remote = ingest(raster(url), context, "remote")
    xr.testing.assert_equal(values(remote), values(local))
    assert server.served < path.stat().st_size / 2
    assert ingest_plan({"remote": raster(url)}, context).done == 1
    write_tif(path, field + 1, west - 2, north + 2, 0.01, 0.01, **tiled)
    assert ingest_plan({"remote": raster(url)}, context).done == 0


def test_web_errors_are_one_line(server, context):
    (server.folder / "page.tif").write_text("<html>Log in</html>")
    for name, why in (("none.tif", "cannot be fetched"), ("page.tif", "a web page")):
        with pytest.raises(InputError, match=why) as caught:
            check({"dem": raster(f"{server.url}/{name}")}, context)
        assert "\n" not in str(caught.value)
    with pytest.raises(InputError, match="cannot be fetched"):
        check({"dem": raster("http://127.0.0.1:9/dem.tif")}, context)
    with pytest.raises(InputError, match="source dem: got"):
        check({"dem": raster("nosuchthing://a/dem.tif")}, context)


def copy(folder, url):
    fs, root = fsspec.core.url_to_fs(url)
    for path in folder.rglob("*.tif"):
        fs.pipe_file(f"{root}/{path.relative_to(folder).as_posix()}", path.read_bytes())


@pytest.mark.parametrize("where", ["memory", "s3"])
def test_any_file_system(where, tmp_path, context, request):
    place = "memory://rasters" if where == "memory" else request.getfixturevalue("bucket")
    for n in range(3):
        kinds.raster(tmp_path / "tiles", n)
        kinds.reflectance(tmp_path / "scenes", n)
    copy(tmp_path, place)
    for name, local in (("raster", "tiles"), ("reflectance", "scenes")):
        _, wanted = ingest(KINDS[name].config(str(tmp_path / local)), context, f"{name}_local")
        _, found = ingest(KINDS[name].config(f"{place}/{local}{'/' if name == 'raster' else ''}"), context, name)
        xr.testing.assert_equal(values(found), values(wanted))
    patterns = raster(f"{place}/tiles/dem_*.tif")
    assert len(file_identity({"dem": patterns})["dem"]) == 3
    with pytest.raises(InputError, match="no file lies"):
        check({"dem": raster(f"{place}/tiles/none_*.tif")}, context)


def test_damaged_remote_tile_is_set_aside(tmp_path, server, context):
    for n in range(3):
        kinds.raster(server.folder, n)
    bad = server.folder / "dem_1.tif"
    bad.write_bytes(bad.read_bytes()[:3000])
    urls = tuple(f"{server.url}/dem_{n}.tif" for n in range(3))
    _, url = ingest(RasterConfig(path=urls, variables={"elevation": 1}), context)
    assert [name.rsplit("/", 1)[1] for name in read_quality(url).set_aside] == ["dem_1.tif"]
    assert read_quality(url).files == 2


# -- STAC --------------------------------------------------------------------------------------------------------------


def item(context, n, assets, *, collection="hls", day=None, shift=0.0):
    west, south, east, north = context.lonlat
    box = [west - 0.2 + shift, south - 0.2, east + 0.2 + shift, north + 0.2]
    ring = [[box[0], box[1]], [box[2], box[1]], [box[2], box[3]], [box[0], box[3]], [box[0], box[1]]]
    return {
        "type": "Feature", "stac_version": "1.0.0", "id": f"item{n}", "collection": collection, "bbox": box,
        "geometry": {"type": "Polygon", "coordinates": [ring]}, "links": [],
        "properties": {"datetime": f"{day or kinds.DAYS[n]}T17:00:00Z"},
        "assets": {key: {"href": href} for key, href in assets.items()},
    }  # fmt: skip


@pytest.fixture
def scenes(server, context):
    """Five scenes on the server: three good, one of another time and one of another place."""
    items = []
    for n in range(3):
        path = kinds.reflectance(server.folder / "scenes", n)
        stem = path.name.removesuffix("B05.tif")
        items.append(item(context, n, {band: f"scenes/{stem}{band}.tif" for band in ("B04", "B05", "Fmask")}))
    items.append(item(context, 3, {}, day="2021-01-01"))
    items.append(item(context, 4, {}, shift=50.0))
    return items


def write(path, document):
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(document))


def static_catalogue(server, scenes):
    """A catalogue, a collection below it, and the items below that; links and assets are relative."""
    links = [{"rel": "child", "href": "./hls/collection.json"}, {"rel": "root", "href": "./catalog.json"}]
    write(server.folder / "catalog.json", {"type": "Catalog", "stac_version": "1.0.0", "id": "c", "links": links})
    below = [{"rel": "item", "href": f"items/{one['id']}.json"} for one in scenes] + [{"rel": "parent", "href": ".."}]
    write(server.folder / "hls" / "collection.json", {"type": "Collection", "id": "hls", "links": below})
    for one in scenes:
        moved = {key: {"href": f"../../{asset['href']}"} for key, asset in one["assets"].items()}
        write(server.folder / "hls" / "items" / f"{one['id']}.json", one | {"assets": moved})


def optical(path, **query):
    return ReflectanceConfig(path=path, stac=query, bands={"red": "B04", "nir": "B05"}, mask="Fmask", composite_days=10)


def absolute(scenes, server):
    return [
        one | {"assets": {k: {"href": f"{server.url}/{a['href']}"} for k, a in one["assets"].items()}} for one in scenes
    ]


@pytest.mark.parametrize("way", ["api", "catalogue", "local catalogue"])
def test_scenes_are_found_in_any_catalogue(way, server, scenes, context):
    _, wanted = ingest(KINDS["reflectance"].config(str(server.folder / "scenes")), context, "wanted")
    if way == "api":
        server.items = absolute(scenes, server)
        config = optical(f"{server.url}/api", collections=["hls"])
    else:
        static_catalogue(server, scenes)
        config = optical(f"{server.url if way == 'catalogue' else server.folder}/catalog.json")
    _, url = ingest(config, context)
    xr.testing.assert_equal(values(url), values(wanted))
    assert read_quality(url).files == 3
    if way == "api":
        assert server.asked[-1]["page"] == 1  # three items on pages of two
        assert server.asked[0]["datetime"] == "2020-04-01T00:00:00Z/2020-04-20T23:59:59Z"
        assert server.asked[0]["collections"] == ["hls"]


def test_tiles_of_an_elevation_model(server, context):
    items = []
    for n in range(3):
        kinds.raster(server.folder / "dem", n)
        items.append(item(context, n, {"data": f"{server.url}/dem/dem_{n}.tif"}, collection="cop", day="2000-01-01"))
    items[1]["assets"] = {"thumbnail": {"href": "x.png"}}
    items.append({"type": "Feature", "id": "broken"})
    write(server.folder / "items.json", {"type": "FeatureCollection", "features": items})
    config = RasterConfig(path=f"{server.url}/items.json", stac={}, variables={"elevation": "data"})
    receipt, url = ingest(config, context)
    assert open_cube(url).complete
    assert read_quality(url).files == 2
    assert any("item1 without the asset 'data'; it has thumbnail" in note for note in receipt.notes)
    assert any("an item that is no STAC" in note for note in receipt.notes)


def test_stac_errors_are_one_line(server, context, scenes):
    write(server.folder / "plain.json", {"a": 1})
    (server.folder / "text.json").write_text("<html>")
    far = [one | {"bbox": [0, 0, 1, 1]} for one in scenes]
    write(server.folder / "far.json", {"type": "FeatureCollection", "features": far})
    for name, why in (
        ("plain.json", "no STAC"), ("text.json", "cannot be read as STAC"), ("none.json", "cannot be read as STAC"),
        ("far.json", "empty extent: got no STAC item"),
    ):  # fmt: skip
        with pytest.raises(InputError, match=why) as caught:
            check({"optical": optical(f"{server.url}/{name}")}, context)
        assert "\n" not in str(caught.value)
    with pytest.raises(ValueError, match="key of a STAC asset"):
        RasterConfig(path="a", stac={}, variables={"e": 1})


@pytest.mark.parametrize("asset", [None, "data"])
@pytest.mark.parametrize("name", ["smap_l4", "netcdf"])
def test_files_of_items(name, asset, server, context):
    """HDF5 and NetCDF as assets: found by extent and period, an item without the asset is set aside."""
    kind = KINDS[name]
    files = [kind.write(server.folder / "in", n) for n in range(5)]
    items = [
        item(context, n, {"data": f"{server.url}/in/{path.name}", "browse": f"{server.url}/in/{n}.png"})
        for n, path in enumerate(files)
    ]
    items[3]["assets"].pop("data")
    items[4]["properties"]["datetime"] = "2021-01-01T00:00:00Z"
    server.items = items
    config = kind.config(f"{server.url}/api").model_copy(update={"stac": StacFiles(asset=asset)})
    receipt, url = ingest(config, context)
    for path in files[3:]:
        path.unlink()
    _, wanted = ingest(kind.config(str(server.folder / "in")), context, "wanted")
    xr.testing.assert_equal(values(url), values(wanted))
    assert list(read_quality(url).set_aside) == ["item3"]
    assert any("item3" in note for note in receipt.notes)
    assert ingest_plan({"source": config}, context).done == 1
