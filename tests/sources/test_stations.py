import zipfile

import numpy as np
import pandas as pd
import pytest

from smdown.errors import CubeError, InputError
from smdown.sources import check, open_stations
from smdown.sources.config import IsmnConfig, StationLayer, StationsCsvConfig
from smdown.sources.depths import trapezoid_weights
from smdown.sources.overpass import days_around
from tests.sources.fabricate import ingest, write_stm

DAY1 = [("2020/04/01 00:00", 0.10, "G"), ("2020/04/01 12:00", 0.20, "G"), ("2020/04/01 13:00", 0.9, "D03,D10")]
DAY2 = [("2020/04/02 23:59", 0.30, "G"), ("2020/04/03 00:00", 0.5, "C03"), ("2020/04/03 01:00", 0.5, "U")]


@pytest.fixture
def place(lonlat):
    west, south, east, north = lonlat
    return {"lat": (south + north) / 2, "lon": (west + east) / 2}


def ismn(path, **options):
    return IsmnConfig(path=str(path), **({"layers": {"sm_surface": StationLayer(depth=(0, 0.06))}} | options))


@pytest.mark.parametrize("newline", ["\n", "\r\n", "\r", " \n \r"])
def test_good_values_of_utc_days(tmp_path, context, place, newline):
    write_stm(tmp_path / "in", "A1", 0.05, 0.05, DAY1 + DAY2, newline=newline, **place)
    receipt, url = ingest(ismn(tmp_path / "in"), context)
    ds = open_stations(url)
    assert ds.sm_surface.dims == ("station", "time")
    assert ds.station.values.tolist() == ["NET/A1"]
    assert ds.network.values.tolist() == ["NET"]
    assert float(ds.latitude[0]) == pytest.approx(place["lat"], abs=1e-5)
    assert ds.time.values[0] == np.datetime64("2020-04-01")
    np.testing.assert_allclose(ds.sm_surface.values[0], [0.15, 0.30, np.nan, np.nan], rtol=1e-6)
    assert any("1 stations, 4 days" in note for note in receipt.notes)


def test_root_zone_and_flags_and_minimum(tmp_path, context, place):
    for depth, value in ((0.05, 0.1), (0.1, 0.2), (0.5, 0.4)):
        rows = [(f"2020/04/01 {h:02d}:00", value, "G") for h in range(3)] + [("2020/04/02 00:00", value, "G")]
        write_stm(tmp_path / "in", "A1", depth, depth, rows, **place)
    write_stm(tmp_path / "in", "A1", -1.0, -1.0, [("2020/04/01 00:00", 9.0, "G")], code="p", **place)
    layers = {
        "sm_surface": StationLayer(depth=(0, 0.06)),
        "sm_rootzone": StationLayer(depth=(0, 1), minimum_sensors=3),
    }
    _, url = ingest(ismn(tmp_path / "in", layers=layers, minimum_values=2), context)
    ds = open_stations(url)
    wanted = trapezoid_weights(np.array([0.05, 0.1, 0.5]), 0, 1) @ np.array([0.1, 0.2, 0.4])
    np.testing.assert_allclose(ds.sm_rootzone.values[0], [wanted, np.nan, np.nan, np.nan], rtol=1e-6)
    np.testing.assert_allclose(ds.sm_surface.values[0, :2], [0.1, np.nan], rtol=1e-6)


def test_zip_flat_folder_and_extent(tmp_path, context, place):
    rows = [("2020/04/01 00:00", 0.1, "G")]
    write_stm(tmp_path / "flat", "In", 0.0, 0.05, rows, flat=True, **place)
    write_stm(tmp_path / "flat", "Out", 0.0, 0.05, rows, flat=True, lat=place["lat"] + 5, lon=place["lon"])
    write_stm(tmp_path / "flat", "Bad", 0.0, 0.05, rows, flat=True, **place).write_text("no header\n")
    archive = tmp_path / "all.zip"
    with zipfile.ZipFile(archive, "w") as out:
        for path in (tmp_path / "flat").iterdir():
            out.write(path, f"Network/{path.name}")
    before = sorted(tmp_path.rglob("*"))
    receipt, url = ingest(ismn(archive), context)
    assert open_stations(url).station.values.tolist() == ["NET/In"]
    assert any("set aside" in note and "Bad" in note for note in receipt.notes)
    kept = [p for p in sorted(tmp_path.rglob("*")) if not p.is_relative_to(tmp_path / "out")]
    assert kept == before  # the reader leaves nothing beside the user's data


def test_ceop_separate_files(tmp_path, context, place):
    name = "NET_NET_C1_sm_0.050000_0.050000_Probe_20200401_20200404.stm"
    line = "{0} {0} NET NET C1 {lat:.4f} {lon:.4f} 52.4 0.05 0.05 {1} {2} M"
    rows = [line.format("2020/04/01 10:00", 0.2, "G", **place), line.format("2020/04/01 11:00", 0.4, "G", **place)]
    folder = tmp_path / "in" / "NET" / "C1"
    folder.mkdir(parents=True)
    (folder / name).write_text("\r\n".join(rows) + "\r\n")
    ds = open_stations(ingest(ismn(tmp_path / "in"), context)[1])
    assert float(ds.sm_surface[0, 0]) == pytest.approx(0.3)


@pytest.mark.parametrize("zipped", [False, True])
def test_the_climate_stands_in_the_static_variables(tmp_path, context, place, zipped):
    rows = [("2020/04/01 00:00", 0.1, "G")]
    for name in ("A1", "B2", "C3", "D4"):
        write_stm(tmp_path / "in", name, 0.05, 0.05, rows, flat=True, **place)
    head = "quantity_name;unit;depth_from[m];depth_to[m];value;description;quantity_source_name\n"
    line = "climate classification;unitless;;;{};;{}\r\n"
    static = {
        "A1": head + line.format("Dfb", "insitu") + line.format("BSk", "koeppen_geiger_2007"),
        "D4": head + line.format("masked", "koeppen_geiger_2007") + line.format("Cfb", "koeppen_geiger_2017"),
        "B2": head + "clay fraction;% weight;0.0;0.3;21;;HWSD\n",
    }
    for name, text in static.items():
        (tmp_path / "in" / f"NET_NET_{name}_static_variables.csv").write_text(text)
    folder = tmp_path / "in"
    if zipped:
        with zipfile.ZipFile(tmp_path / "all.zip", "w") as out:
            for path in folder.iterdir():
                out.write(path, f"NET/{path.name}")
    ds = open_stations(ingest(ismn(tmp_path / "all.zip" if zipped else folder), context)[1])
    found = dict(zip(ds.station.values, ds.climate.values, strict=True))
    assert found == {"NET/A1": "BSk", "NET/B2": "", "NET/C3": "", "NET/D4": "Cfb"}


def test_a_window_around_the_overpass(tmp_path, context, place):
    hour = (6 - place["lon"] / 15) % 24  # of 6 h local solar time, UTC
    start = pd.Timestamp("2020-04-02") + pd.Timedelta(hours=hour)
    offsets = [-8, -5.9, 0, 5.9, 8, 24 - 5.9]
    times = [start + pd.Timedelta(hours=h) for h in offsets]
    rows = [(f"{t:%Y/%m/%d %H:%M}", 0.1 * (k + 1), "G") for k, t in enumerate(times)]
    write_stm(tmp_path / "in", "A1", 0.05, 0.05, rows, **place)
    found = [
        open_stations(ingest(ismn(tmp_path / "in", overpass=6, **more), context, f"s{k}")[1]).sm_surface.values[0]
        for k, more in enumerate(({}, {"window_hours": 1.0}))
    ]
    np.testing.assert_allclose(found[0], [np.nan, 0.3, 0.6, np.nan], rtol=1e-6)
    np.testing.assert_allclose(found[1], [np.nan, 0.3, np.nan, np.nan], rtol=1e-6)


@pytest.mark.parametrize("longitude", [-170, -100, 0, 146, 179])
def test_a_time_belongs_to_the_nearest_overpass(longitude):
    hour = (18 - longitude / 15) % 24
    offsets = np.array([-11.9, -6, -0.1, 0, 6, 11.9])
    times = pd.DatetimeIndex(pd.Timestamp("2020-04-02") + pd.to_timedelta(hour + offsets, unit="h"))
    days, inside = days_around(times, longitude, 18.0, 12.0)
    assert set(days) == {pd.Timestamp("2020-04-02")}
    assert inside.tolist() == [False, True, True, True, True, False]


def test_archive_errors(tmp_path, context, place):
    write_stm(tmp_path / "in", "A", 0.5, 0.5, [("2020/04/01 00:00", 0.1, "G")], **place)
    with pytest.raises(InputError, match=r"no sensor of sm_surface within 0-0.06 m; it has 0.5-0.5 m"):
        check({"s": ismn(tmp_path / "in")}, context)
    with pytest.raises(InputError, match=r"without soil_temperature \(ts\); it has sm"):
        check({"s": ismn(tmp_path / "in", variable="soil_temperature")}, context)
    write_stm(tmp_path / "far", "B", 0.05, 0.05, [("2020/04/01 00:00", 0.1, "G")], lat=0, lon=0)
    with pytest.raises(InputError, match=r"empty extent: .* 1 stations"):
        check({"s": ismn(tmp_path / "far")}, context)
    (tmp_path / "not.zip").write_text("<html>")
    with pytest.raises(InputError, match="web page"):
        check({"s": ismn(tmp_path / "not.zip")}, context)
    with zipfile.ZipFile(tmp_path / "evil.zip", "w") as archive:
        archive.writestr("/etc/NET_NET_A_sm_0.05_0.05_P_20200401_20200404.stm", "x")
    with pytest.raises(InputError, match="unpacked elsewhere"):
        check({"s": ismn(tmp_path / "evil.zip")}, context)


def test_nothing_good_leaves_nothing(tmp_path, context, place):
    write_stm(tmp_path / "in", "A", 0.05, 0.05, [("2020/04/01 00:00", 0.1, "D06")], **place)
    with pytest.raises(InputError, match="without one good value"):
        ingest(ismn(tmp_path / "in"), context)
    assert not (tmp_path / "out" / "source.zarr").exists()
    with pytest.raises(CubeError, match="no finished stations"):
        open_stations(str(tmp_path / "out" / "source.zarr"))


def csv(path, **options):
    return StationsCsvConfig(path=str(path), variables={"sm_surface": "sm"}, **options)


def test_table_of_stations(tmp_path, context, place):
    frame = pd.DataFrame(
        {
            "station": ["a", "a", "b", "far"],
            "latitude": [place["lat"]] * 3 + [0.0],
            "longitude": [place["lon"]] * 4,
            "date": ["2020-04-01", "2020-04-03", "2020-04-02T06:00:00Z", "2020-04-01"],
            "sm": [0.1, 7.0, 0.2, 0.3],
        }
    )
    frame.to_csv(tmp_path / "t.csv", index=False)
    ds = open_stations(ingest(csv(tmp_path / "t.csv", valid_range=(0, 1), network="N"), context)[1])
    assert ds.station.values.tolist() == ["N/a", "N/b"]
    np.testing.assert_allclose(ds.sm_surface, [[0.1, np.nan, np.nan, np.nan], [np.nan, 0.2, np.nan, np.nan]], rtol=1e-6)
    frame.drop(columns="station").iloc[:2].to_csv(tmp_path / "Net_y5_data.csv", index=False)
    named = csv(tmp_path / "Net_y5_data.csv", station_pattern=r"Net_(\w+)_data")
    assert open_stations(ingest(named, context, "named")[1]).station.values.tolist() == ["y5"]


def test_table_errors(tmp_path, context):
    (tmp_path / "t.csv").write_text("station,latitude,longitude,date\na,1,2,2020-04-01\n")
    with pytest.raises(InputError, match="without the column 'sm'; it has station, latitude"):
        check({"s": csv(tmp_path / "t.csv")}, context)
    (tmp_path / "d.csv").write_text("station,latitude,longitude,date,sm\na,1,2,someday,0.1\n")
    with pytest.raises(InputError, match="holds no ISO dates"):
        check({"s": csv(tmp_path / "d.csv")}, context)
    (tmp_path / "e.csv").write_bytes(b"")
    with pytest.raises(InputError, match="an empty file where CSV was wanted"):
        check({"s": csv(tmp_path / "e.csv")}, context)
