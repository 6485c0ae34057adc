"""Tables of stations as Parquet: the same as CSV, whatever way dates are stored; local, zipped and by URL."""

import datetime as dt
import zipfile

import fsspec
import pandas as pd
import pytest
import xarray as xr

from smdown.errors import InputError
from smdown.sources import check, stations_csv
from smdown.sources.quality import read_quality
from tests.sources import kinds
from tests.sources.fabricate import ingest
from tests.sources.kinds import KINDS

pytest.importorskip("pyarrow")
CONFIG = KINDS["stations_csv"].config
WAYS = {
    "text": lambda frame: frame,
    "days": lambda frame: frame.assign(date=[dt.date.fromisoformat(d) for d in frame["date"]]),
    "times": lambda frame: frame.assign(date=pd.to_datetime(frame["date"])),
    "utc": lambda frame: frame.assign(date=pd.to_datetime(frame["date"]).dt.tz_localize("UTC")),
    "zone": lambda frame: frame.assign(
        date=pd.to_datetime(frame["date"]).dt.tz_localize("UTC").dt.tz_convert("Australia/Sydney")
    ),
    "index": lambda frame: frame.set_index("date"),
}


@pytest.fixture
def context(tmp_path):
    return kinds.context(tmp_path / "out")


@pytest.fixture
def wanted(tmp_path, context):
    for n in range(3):
        kinds.stations_csv(tmp_path / "csv", n)
    return contents(ingest(CONFIG(str(tmp_path / "csv")), context, "csv")[1])


def contents(url):
    return xr.open_zarr(url, chunks=None).load().drop_attrs()


def parquet(folder, way="times"):
    (folder / "parquet").mkdir()
    for path in sorted((folder / "csv").glob("*.csv")):
        WAYS[way](pd.read_csv(path)).to_parquet(folder / "parquet" / f"{path.stem}.parquet")
    return folder / "parquet"


@pytest.mark.parametrize("way", WAYS)
def test_same_as_csv(way, tmp_path, context, wanted):
    _, url = ingest(CONFIG(str(parquet(tmp_path, way))), context)
    xr.testing.assert_identical(contents(url), wanted)


def test_zipped_and_by_url(tmp_path, context, wanted):
    folder = parquet(tmp_path)
    with zipfile.ZipFile(tmp_path / "all.zip", "w") as archive:
        for path in folder.iterdir():
            archive.write(path, path.name)
            fsspec.filesystem("memory").pipe_file(f"/parquet/{path.name}", path.read_bytes())
    for n, path in enumerate((str(tmp_path / "all.zip"), "memory://parquet/*.parquet", "memory://parquet")):
        _, url = ingest(CONFIG(path), context, f"table{n}")
        xr.testing.assert_identical(contents(url), wanted)


def test_damaged_tables_are_set_aside(tmp_path, context, wanted):
    folder = parquet(tmp_path)
    bad = sorted(folder.iterdir())[1]
    whole = bad.read_bytes()
    for content in (whole[: len(whole) // 2], b"", b"<html>Log in</html>", b"PAR1" + b"\0" * 100 + b"PAR1"):
        bad.write_bytes(content)
        _, url = ingest(CONFIG(str(folder)), context)
        assert list(read_quality(url).set_aside) == [str(bad)]
        xr.testing.assert_identical(contents(url), wanted.isel(station=[0, 2]))


def test_what_is_missing_is_said(tmp_path, context, wanted, monkeypatch):
    folder = parquet(tmp_path)
    monkeypatch.setattr(stations_csv, "find_spec", lambda name: None)
    with pytest.raises(InputError, match=r"needs pyarrow; install smdown\[parquet\]$"):
        check({"stations": CONFIG(str(folder))}, context)
    check({"stations": CONFIG(str(tmp_path / "csv"))}, context)
