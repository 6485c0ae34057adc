"""Scenes as providers name and number them, of a known ground, to reflectances."""

import json
import shutil

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.errors import InputError
from smdown.sources import check
from smdown.sources.baseline import offset_of_file, offset_of_item
from smdown.sources.config import ReflectanceConfig
from smdown.sources.places import Place as File
from smdown.sources.quality import read_quality
from smdown.sources.stac import StacItem
from tests.sources import optical
from tests.sources.fabricate import ingest
from tests.sources.optical import BANDS, Place, wanted

UTM = "EPSG:32614"
ROUNDING = 1.1e-4
"""Half a count of the file and half a count of the cube."""
MEANS = 7e-4
"""The mean of four pixels of a wave 45 long is not its middle: amplitude 0.1 times (2 pi / 90)^2, and rounding."""


@pytest.fixture
def place(context):
    return Place(context, UTM, 600.0)


def config(folder, product, **options):
    return ReflectanceConfig(path=str(folder), product=product, composite_days=1, **options)


def same_ground(url, hidden=None, tolerance=ROUNDING, times=None):
    """The cube holds the known ground, missing exactly where `hidden` (y, x) is."""
    cube = open_cube(url)
    for time in range(len(cube.times)) if times is None else times:
        for band in BANDS:
            out = cube.read(band, cube.raster.window, time)
            gone = np.zeros(out.shape, bool) if hidden is None else hidden
            np.testing.assert_array_equal(np.isnan(out), gone)
            assert np.abs(out - wanted(cube, band))[~gone].max() < tolerance
    return cube


def cut(cube, place, values, pixel):
    """The pixels of a scene's array that a cube of the same pixels holds."""
    y, x = round((place.y0 - cube.raster.y0) / pixel), round((cube.raster.x0 - place.x0) / pixel)
    return values[y : y + cube.raster.height, x : x + cube.raster.width]


FMASK = {  # value: what it is after the HLS v2.0 user guide; 64, 128 and 192 are aerosol levels
    0: "clear", 64: "clear", 128: "clear", 192: "clear", 96: "water", 33: "water, unused bit",
    66: "cloud", 194: "cloud", 68: "next to cloud", 72: "shadow", 80: "snow", 98: "cloud over water", 255: "fill",
}  # fmt: skip
QA_PIXEL = {  # value: what it is after the USGS table of Collection 2 QA_PIXEL values
    21824: "clear", 21888: "water", 21952: "clear, water", 22080: "clear, mid confidence of cloud", 5440: "clear",
    1: "fill", 21826: "dilated cloud", 21890: "dilated cloud over water", 22280: "cloud", 23888: "shadow",
    23952: "shadow over water", 24344: "cloud and shadow", 30048: "snow", 54596: "cirrus", 55052: "cirrus and cloud",
}  # fmt: skip
SCL = {
    0: "no data", 1: "saturated or defective", 2: "dark area", 3: "cloud shadow", 4: "vegetation", 5: "not vegetated",
    6: "water", 7: "unclassified", 8: "cloud, medium", 9: "cloud, high", 10: "thin cirrus", 11: "snow",
}  # fmt: skip
CLEAR = ("clear", "water", "vegetation", "not vegetated", "dark area", "unclassified")


def codes(table, shape):
    """A mask of all values of a table, in turn, and where it hides."""
    values = np.resize(np.array(list(table)), shape)
    shown = np.isin(values, [value for value, what in table.items() if what.startswith(CLEAR)])
    return values, ~shown


@pytest.mark.parametrize(
    ("product", "write", "table", "days"),
    [
        ("hls", optical.hls, FMASK, ("2020092", "2020093")),
        ("landsat_c2_l2", optical.landsat, QA_PIXEL, ("20200401", "20200402")),
    ],
)
def test_providers_names_numbers_and_masks(product, write, table, days, tmp_path, context, place):
    """Both sensors of a product, each with names of bands of its own, in one folder."""
    mask, gone = codes(table, place.shape(300.0))
    sensor = {"hls": ("sensor", "S30"), "landsat_c2_l2": ("platform", "LE07")}[product]
    write(tmp_path, place, days[0], mask)
    write(tmp_path, place, days[1], mask, **dict([sensor]))
    _, url = ingest(config(tmp_path, product), context)
    cube = open_cube(url)
    assert cube.spec.times == ("2020-04-01", "2020-04-02")
    same_ground(url, cut(cube, place, gone, 300.0))


def test_water_may_be_hidden_and_bands_chosen(tmp_path, context, place):
    mask, _ = codes(QA_PIXEL, place.shape(300.0))
    optical.landsat(tmp_path, place, "20200401", mask)
    chosen = config(tmp_path, "landsat_c2_l2", mask_bits=(0, 7), bands={"blue": "*_SR_B3.TIF"})
    _, url = ingest(chosen, context)
    cube = open_cube(url)
    assert [v.name for v in cube.spec.variables] == ["blue"]
    gone = cut(cube, place, (mask & 0b10000001) != 0, 300.0)
    np.testing.assert_array_equal(np.isnan(cube.read("blue", cube.raster.window, 0)), gone)


def test_saturated_and_missing_counts_of_landsat(tmp_path, context, place):
    folder = optical.landsat(tmp_path, place, "20200401")
    counts = np.rint((place.reflectance("nir", 300.0) + 0.2) / 2.75e-5).astype("u2")
    counts[:, 60], counts[:, 61], counts[:, 62] = 0, 65535, 7000  # fill, saturated, not positive
    place.write(next(folder.glob("*_SR_B5.TIF")), counts, 300.0, nodata=None)
    _, url = ingest(config(tmp_path, "landsat_c2_l2"), context)
    gone = np.zeros(place.shape(300.0), bool)
    gone[:, 60:63] = True
    same_ground(url, cut(open_cube(url), place, gone, 300.0))


# -- Sentinel-2 --------------------------------------------------------------------------------------------------------


def test_sentinel2_before_and_after_its_offset(tmp_path, context, place):
    """10 m bands come to the 20 m grid as means; the baseline decides the offset, not the day."""
    scl, gone = codes(SCL, place.shape(400.0))
    for day, baseline in (("20200401", "0214"), ("20200402", "0500"), ("20200403", "0400"), ("20200404", "9999")):
        optical.sentinel2(tmp_path, place, day, baseline, scl)
    _, url = ingest(config(tmp_path, "sentinel2_l2a"), context)
    cube = open_cube(url)
    assert (cube.raster.dx, len(cube.times)) == (400.0, 4)
    same_ground(url, cut(cube, place, gone, 400.0), tolerance=MEANS)


def test_means_of_fine_bands(tmp_path, context, place):
    """Noise in the 10 m bands alone shows that they are averaged, area by area."""
    noise = np.random.default_rng(1).integers(-300, 300, place.shape(200.0))
    optical.sentinel2(tmp_path, place, "20200401", noise=noise)
    for resolution in (None, 1000.0, 200.0):
        _, url = ingest(config(tmp_path, "sentinel2_l2a", resolution=resolution), context, f"at{resolution}")
        cube = open_cube(url)
        side = resolution or 400.0
        assert cube.raster.dx == side
        counts = np.rint(place.reflectance("red", 200.0) * 1e4) + noise
        n = round(side / 200.0)
        y = round((place.y0 - cube.raster.y0) / 200.0)
        x = round((cube.raster.x0 - place.x0) / 200.0)
        rows, cols = cube.raster.height - 4, cube.raster.width - 4  # whole pixels inside the scene
        y, x = y + 2 * n, x + 2 * n
        fine = counts[y : y + rows * n, x : x + cols * n]
        mean = fine.reshape(rows, n, cols, n).mean(axis=(1, 3)) * 1e-4
        out = cube.read("red", cube.raster.window, 0)[2:-2, 2:-2]
        np.testing.assert_allclose(out, mean, atol=6e-5)
        assert np.isfinite(cube.read("swir1", cube.raster.window, 0)[4:-4, 4:-4]).all()


def test_a_hidden_pixel_leaves_no_trace_in_means(tmp_path, context, place):
    """Clouds are taken out before the mean: pixels beside them hold clear ground alone."""
    scl = np.full(place.shape(400.0), 5)
    scl[::7, ::5] = 9
    clouds = np.kron(scl == 9, np.ones((2, 2), int)) * 6000
    optical.sentinel2(tmp_path, place, "20200401", scl=scl, noise=clouds)
    _, url = ingest(config(tmp_path, "sentinel2_l2a", resolution=1200.0), context)
    cube = open_cube(url)
    out = cube.read("red", cube.raster.window, 0)
    assert np.isfinite(out).mean() > 0.8
    assert np.nanmax(np.abs(out - wanted(cube, "red"))) < 0.02  # a cloud would add 0.6 / 9


def test_baseline_of_a_renamed_product(tmp_path, context, place):
    """The metadata file inside tells it; without it there is no guess."""
    folder = optical.sentinel2(tmp_path, place, "20200401", "0300", name="mine")
    with pytest.raises(InputError, match=r"neither in a name \(_N0400_\) nor in MTD_MSIL2A.xml.*set offset"):
        check({"s2": config(tmp_path, "sentinel2_l2a")}, context)
    (folder / "MTD_MSIL2A.xml").write_text("<a>\n<PROCESSING_BASELINE>03.00</PROCESSING_BASELINE></a>")
    same_ground(ingest(config(tmp_path, "sentinel2_l2a"), context)[1], tolerance=MEANS)
    (folder / "MTD_MSIL2A.xml").write_text("<PROCESSING_BASELINE>05.10</PROCESSING_BASELINE>")
    assert offset_of_file(File(str(next(folder.rglob("*B04*"))))) == -0.1
    shutil.rmtree(folder)
    optical.sentinel2(tmp_path, place, "20200401", "0510", name="mine")
    same_ground(ingest(config(tmp_path, "sentinel2_l2a", offset=-0.1), context, "given")[1], tolerance=MEANS)


def test_an_offset_taken_off_twice_shows(tmp_path, context, place):
    """A catalogue that says wrongly that the offset is still in its numbers, as some do."""
    optical.sentinel2(tmp_path, place, "20200401", "0510")
    wrong = optical.sentinel2(tmp_path, place, "20200402", "0300")
    wrong.rename(wrong.with_name(wrong.name.replace("N0300", "N0510")))
    _, url = ingest(config(tmp_path, "sentinel2_l2a"), context)
    reasons = read_quality(url).set_aside
    assert len(reasons) == 1
    assert "seems to have been taken off already; set offset: 0" in next(iter(reasons.values()))
    same_ground(url, tolerance=MEANS, times=[0])


def item(properties, asset=None, name="S2A_14SNE_20220201_0_L2A"):
    data = {"properties": properties, "assets": {"red": asset or {}}}
    return StacItem(name, "2022-02-01", {"red": File("https://somewhere/B04.tif")}, data)


@pytest.mark.parametrize(
    ("given", "offset"),
    [
        (item({"earthsearch:boa_offset_applied": True, "s2:processing_baseline": "05.10"}), 0.0),
        (item({"sentinel:boa_offset_applied": True}, {"raster:bands": [{"offset": -0.1}]}), 0.0),
        (item({"earthsearch:boa_offset_applied": False, "s2:processing_baseline": "04.00"}), -0.1),
        (item({"s2:processing_baseline": "03.01"}, {"raster:bands": [{"offset": -0.1}]}), 0.0),
        (item({"processing:version": "05.09"}), -0.1),
        (item({}, name="S2A_MSIL2A_20231107T144731_N0509_R139_T20QRF_20231107T182159"), -0.1),
        (item({"s2:product_uri": "S2B_MSIL2A_20200206T153619_N0214_R068_T17NQA_20200206T194512.SAFE"}), 0.0),
        (item({}, {"raster:bands": [{"scale": 1e-4, "offset": -0.1}]}), -0.1),
        (item({}, {"bands": [{"name": "B04", "raster:offset": -0.1}]}), -0.1),
        (item({}, {"raster:scale": 1e-4, "raster:offset": 0}), 0.0),
    ],
)
def test_offset_of_an_item(given, offset):
    assert offset_of_item(given, "red") == offset


def test_an_item_without_a_baseline_is_no_guess():
    with pytest.raises(InputError, match="nor in its properties; set offset"):
        offset_of_item(item({}), "red")


# -- STAC --------------------------------------------------------------------------------------------------------------

CATALOGUES = {
    "hls L30": ("hls", "L30", ("B03", "B04", "B05", "B06", "Fmask")),
    "hls S30": ("hls", "S30", ("B03", "B04", "B8A", "B11", "Fmask")),
    "landsat": ("landsat_c2_l2", "LC08", ("green", "red", "nir08", "swir16", "qa_pixel")),
    "earth search": ("sentinel2_l2a", "", ("green", "red", "nir", "swir16", "scl")),
    "planetary computer": ("sentinel2_l2a", "", ("B03", "B04", "B08", "B11", "SCL")),
    "copernicus": ("sentinel2_l2a", "", ("B03_10m", "B04_10m", "B08_10m", "B11_20m", "SCL_20m")),
}


@pytest.mark.parametrize("name", CATALOGUES)
def test_items_with_the_assets_of_catalogues(name, tmp_path, context, place):
    product, sensor, keys = CATALOGUES[name]
    if product == "hls":
        folder = optical.hls(tmp_path, place, "2020092", sensor=sensor)
        ends = [*optical.HLS[sensor], "Fmask"]
        extra = {code: str(next(folder.glob(f"*{code}.tif"))) for code in ("B05", "B06") if sensor == "S30"}
    elif product == "landsat_c2_l2":
        folder, extra = optical.landsat(tmp_path, place, "20200401"), {}
        ends = [*(f"SR_{code}" for code in optical.LANDSAT[sensor]), "QA_PIXEL"]
    else:
        folder, extra = optical.sentinel2(tmp_path, place, "20200401"), {"visual": "x.tif"}
        ends = [*optical.SAFE.values(), "SCL_20m"]
    files = [str(next(folder.rglob(f"*{end}.*"))) for end in ends]
    west, south, east, north = context.lonlat
    properties = {"datetime": "2020-04-01T17:12:34Z", "s2:processing_baseline": "05.10"}
    feature = {
        "type": "Feature", "stac_version": "1.0.0", "id": folder.name, "collection": "c", "properties": properties,
        "bbox": [west, south, east, north], "links": [],
        "assets": {key: {"href": href} for key, href in (dict(zip(keys, files, strict=True)) | extra).items()},
    }  # fmt: skip
    items = [feature, {**feature, "id": "OTHER" if product == "hls" else f"{folder.name}_b", "assets": {}}]
    (tmp_path / "items.json").write_text(json.dumps({"type": "FeatureCollection", "features": items}))
    receipt, url = ingest(config(tmp_path / "items.json", product, stac={}), context)
    same_ground(url, tolerance=ROUNDING if product != "sentinel2_l2a" else MEANS)
    why = "OTHER, which is no hls" if product == "hls" else "without the asset"
    assert any(why in note for note in receipt.notes)


def test_a_product_with_nothing_of_it_in_the_folder(tmp_path, context, place):
    optical.landsat(tmp_path, place, "20200401")
    with pytest.raises(InputError, match=r"got 0 scenes .* none with all of \*.B03.tif.*Fmask.tif or \*.B03.tif.*B8A"):
        check({"hls": config(tmp_path, "hls")}, context)
    with pytest.raises(InputError, match="no file matches"):
        check({"s2": config(tmp_path, "sentinel2_l2a")}, context)
