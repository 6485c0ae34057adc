"""Fetching SMAP files: earthaccess against a catalogue and an archive on loopback, over real HTTP.

NASA's own servers are not asked; nor is a login by name and password, which goes to NASA's over TLS.
"""

import hashlib
import json
import time
from datetime import date, timedelta
from types import SimpleNamespace
from urllib.parse import parse_qs, urlsplit

import pytest
from typer.testing import CliRunner

from smdown import cli
from smdown.errors import ConfigError, IncompleteError, InputError, ResourceError
from smdown.sources import download, fetch
from smdown.sources.config import SmapL3Config, SmapL4Config
from tests.sources import kinds
from tests.sources.fabricate import ingest
from tests.sources.loopback import Handler, serve

earthaccess = pytest.importorskip("earthaccess")
TOKEN = "token-of-the-test"
PAGE = 2000


class Archive(Handler):
    """A catalogue (granule search of CMR, as earthaccess asks it), and files for those who carry the token."""

    def do_GET(self):
        url = urlsplit(self.path)
        if url.path.endswith("granules.umm_json"):
            return self.granules(parse_qs(url.query))
        self.server.got.append(url.path)
        if self.headers.get("Authorization") != f"Bearer {TOKEN}":
            return self.send(401, b"who are you", "text/plain")
        if self.server.busy > 0:
            self.server.busy -= 1
            return self.send(503, b"busy", "text/plain")
        return self.reply()

    def granules(self, query):
        self.server.asked.append(query)
        first, last = query["temporal[]"][0].split(",")
        found = [
            one for one in self.server.items
            if one["short_name"] == query["short_name"][0] and one["version"] == query["version"][0]
            and one["start"] <= last and one["end"] >= first
        ]  # fmt: skip
        start, size = int(self.headers.get("cmr-search-after", 0)), int(query["page_size"][0])
        page = [one["entry"] for one in found[start : start + size]]
        extra = {"CMR-Hits": str(len(found)), "cmr-search-after": str(start + size)}
        return self.send(200, json.dumps({"items": page}).encode(), "application/json", extra=extra)


@pytest.fixture
def archive(tmp_path, monkeypatch):
    monkeypatch.setattr(download, "_PAUSE_S", 0.0)
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    (tmp_path / "web").mkdir()
    with serve(tmp_path / "web", Archive) as server:
        server.got, server.busy = [], 0
        yield server


@pytest.fixture
def context(tmp_path):
    return kinds.context(tmp_path / "out")


def system(server):
    host = server.url.removeprefix("http://")
    return earthaccess.system.System(f"{server.url}/search/", server.url, server.url, host)


def entry(server, path, *, exact=True, sha=None):
    """A catalogue's entry, with the links that the archive gives."""
    name, link = path.name, f"{server.url}/{path.relative_to(server.folder)}"
    content = path.read_bytes()
    part = {"Name": name, "Size": round(len(content) / 1e6, 3), "SizeUnit": "MB"}
    if exact:
        part |= {
            "SizeInBytes": len(content),
            "Checksum": {"Algorithm": "SHA-256", "Value": sha or hashlib.sha256(content).hexdigest()},
        }
    urls = [
        {"URL": f"{link}.iso.xml", "Type": "EXTENDED METADATA"},
        {"URL": f"s3://archive/{name}", "Type": "GET DATA VIA DIRECT ACCESS"},
        {"URL": link, "Type": "GET DATA"},
    ]
    umm = {"GranuleUR": name, "RelatedUrls": urls, "DataGranule": {"ArchiveAndDistributionInformation": [part]}}
    return {"meta": {"concept-id": "G1", "provider-id": "NSIDC_CPRD"}, "umm": umm}


def publish(server, write, count, short_name, version, **options):
    """Put files of the first days into the archive; one starts each day at midnight and ends at the next."""
    paths = [write(server.folder / short_name, n) for n in range(count)]
    for path, day in zip(paths, kinds.DAYS, strict=False):
        after = (date.fromisoformat(day) + timedelta(days=1)).isoformat()
        server.items.append(
            {"short_name": short_name, "version": version, "start": f"{day}T00:00:00Z", "end": f"{after}T00:00:00Z",
             "entry": entry(server, path, **options)}
        )  # fmt: skip
    return paths


def find(server, configs, context, **options):
    return fetch.find_wanted(configs, context, system=system(server), **options)


def get(server, configs, context, **options):
    return fetch.fetch(*find(server, configs, context, **options))


def test_what_is_fetched_can_be_ingested(archive, tmp_path, context):
    paths = publish(archive, kinds.smap_l4, 3, "SPL4SMGP", "008")
    publish(archive, kinds.smap_l3, 2, "SPL3SMP_E", "006")
    configs = {
        "l4": SmapL4Config(path=str(tmp_path / "in" / "*.h5")), "l3": SmapL3Config(path=str(tmp_path / "l3")),
    }  # fmt: skip
    auth, wanted = find(archive, configs, context)
    assert [need.folder.name for need in wanted] == ["in", "l3"]
    assert str(wanted[0]).startswith("l4: 3 files of SPL4SMGP version 008, 0 there already; 3 to fetch, 0.00 GB, into")
    seen = []
    assert fetch.fetch(auth, wanted, lambda *told: seen.append(told)) == 5
    assert [(done, total) for _, done, total in seen] == [(n, 5) for n in range(1, 6)]
    assert sorted(p.name for p in (tmp_path / "in").iterdir()) == sorted(p.name for p in paths)
    assert all((tmp_path / "in" / p.name).read_bytes() == p.read_bytes() for p in paths)
    ingest(configs["l4"], context, "l4")
    ingest(configs["l3"], context, "l3")
    query = archive.asked[0]
    assert query["temporal[]"] == ["2020-04-01T00:00:00Z,2020-04-20T23:59:59Z"]
    west, south, east, north = context.lonlat
    assert [float(v) for v in query["bounding_box"][0].split(",")] == pytest.approx([west, south, east, north])


def test_only_what_is_missing_is_fetched_again(archive, tmp_path, context):
    paths = publish(archive, kinds.smap_l4, 4, "SPL4SMGP", "008")
    configs = {"l4": SmapL4Config(path=str(tmp_path / "in"))}
    get(archive, configs, context)
    assert find(archive, configs, context)[1][0].missing == ()
    (tmp_path / "in" / paths[1].name).write_bytes(paths[1].read_bytes()[:500])
    (tmp_path / "in" / paths[2].name).unlink()
    archive.got.clear()
    assert get(archive, configs, context) == 2
    assert sorted(archive.got) == [f"/SPL4SMGP/{paths[n].name}" for n in (1, 2)]
    assert (tmp_path / "in" / paths[1].name).read_bytes() == paths[1].read_bytes()


def test_partial_downloads_never_take_the_name(archive, tmp_path, context):
    paths = publish(archive, kinds.smap_l4, 3, "SPL4SMGP", "008")
    configs = {"l4": SmapL4Config(path=str(tmp_path / "in"))}
    auth, wanted = find(archive, configs, context)
    archive.break_off, archive.breaks_left = 1000, 10**6
    with pytest.raises(IncompleteError, match="3 of 3 files did not come") as caught:
        fetch.fetch(auth, wanted)
    assert "\n" not in str(caught.value)
    assert list((tmp_path / "in").iterdir()) == []
    archive.breaks_left, archive.busy = 2, 1
    assert fetch.fetch(auth, wanted) == 3
    assert all((tmp_path / "in" / p.name).read_bytes() == p.read_bytes() for p in paths)


def test_a_file_on_its_way_has_another_name(archive, tmp_path, context):
    """Whatever ends the process meanwhile, no file of the final name is a part of one."""
    publish(archive, kinds.smap_l4, 1, "SPL4SMGP", "008")
    auth, wanted = find(archive, {"l4": SmapL4Config(path=str(tmp_path / "in"))}, context)
    seen = []

    def halfway():
        for _ in range(500):
            if names := [path.suffix for path in (tmp_path / "in").iterdir()]:
                return seen.extend(names)
            time.sleep(0.01)
        return None

    archive.halfway = halfway
    assert fetch.fetch(auth, wanted) == 1
    assert seen == [".part"]


def test_a_wrong_checksum_is_no_file(archive, tmp_path, context):
    publish(archive, kinds.smap_l4, 1, "SPL4SMGP", "008", sha="0" * 64)
    with pytest.raises(IncompleteError, match="SHA-256 is not the archive's"):
        get(archive, {"l4": SmapL4Config(path=str(tmp_path / "in"))}, context)
    assert list((tmp_path / "in").iterdir()) == []


def test_days_that_only_touch_the_period_stay_out(archive, tmp_path, context):
    publish(archive, kinds.smap_l4, 4, "SPL4SMGP", "008", exact=False)
    short = SimpleNamespace(start=kinds.DAYS[1], end=kinds.DAYS[2], lonlat=context.lonlat)
    _, (need,) = find(archive, {"l4": SmapL4Config(path=str(tmp_path / "in"))}, short)
    assert [fetch._l4_key(g)[:10] for g in need.granules] == kinds.DAYS[1:3]
    assert all(g.size_bytes > 0 and not g.exact for g in need.granules)


def test_the_newest_of_a_stamp_is_taken(archive, tmp_path, context):
    (path,) = publish(archive, kinds.smap_l4, 1, "SPL4SMGP", "008")
    newer = path.with_name(path.name.replace("_001.h5", "_002.h5"))
    newer.write_bytes(path.read_bytes())
    archive.items.append(archive.items[0] | {"entry": entry(archive, newer)})
    _, (need,) = find(archive, {"l4": SmapL4Config(path=str(tmp_path / "in"))}, context)
    assert [g.name for g in need.granules] == [newer.name]


def test_choice_of_sources_folders_and_versions(archive, tmp_path, context):
    publish(archive, kinds.smap_l4, 1, "SPL4SMAU", "007")
    aup = SmapL4Config(path="s3://bucket/in", product="aup")
    configs = {"aup": aup, "dem": kinds.KINDS["raster"].config("dem"), "l3": SmapL3Config(path=str(tmp_path))}
    with pytest.raises(ConfigError, match="no local folder; name one with --out"):
        find(archive, configs, context)
    with pytest.raises(ConfigError, match="dem, which is no SMAP source; there are aup, l3"):
        find(archive, configs, context, names=["dem"])
    with pytest.raises(ConfigError, match="without a source"):
        find(archive, {"dem": configs["dem"]}, context)
    with pytest.raises(InputError, match="no granule of SPL4SMAU version 008"):
        find(archive, configs, context, names=["aup"], out=tmp_path / "o")
    get(archive, configs, context, names=["aup"], out=tmp_path / "o", version="007")
    assert len(list((tmp_path / "o").iterdir())) == 1


def test_a_disk_too_small_is_said_before(archive, tmp_path, context, monkeypatch):
    publish(archive, kinds.smap_l4, 1, "SPL4SMGP", "008")
    monkeypatch.setattr(fetch.shutil, "disk_usage", lambda _: SimpleNamespace(free=10))
    with pytest.raises(ResourceError, match="make room"):
        get(archive, {"l4": SmapL4Config(path=str(tmp_path / "in"))}, context)
    assert archive.got == []


def test_a_refused_token_is_not_printed(archive, tmp_path, context, monkeypatch):
    publish(archive, kinds.smap_l4, 1, "SPL4SMGP", "008")
    monkeypatch.setenv("EARTHDATA_TOKEN", "a-wrong-secret")
    with pytest.raises(IncompleteError, match=r"HTTP 401.*check the Earthdata login") as caught:
        get(archive, {"l4": SmapL4Config(path=str(tmp_path / "in"))}, context)
    assert "secret" not in str(caught.value)
    assert "\n" not in str(caught.value)


def test_an_archive_out_of_reach(context, tmp_path, monkeypatch):
    monkeypatch.setenv("EARTHDATA_TOKEN", TOKEN)
    nowhere = earthaccess.system.System("http://127.0.0.1:9/search/", "", "", "127.0.0.1:9")
    with pytest.raises(InputError, match="cannot be asked") as caught:
        fetch.find_wanted({"l4": SmapL4Config(path=str(tmp_path))}, context, system=nowhere)
    assert "\n" not in str(caught.value)


def no_login(monkeypatch, tmp_path):
    for name in ("EARTHDATA_TOKEN", "EARTHDATA_USERNAME", "EARTHDATA_PASSWORD"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NETRC", str(tmp_path / "none"))


def test_no_login_is_one_line(tmp_path, monkeypatch):
    no_login(monkeypatch, tmp_path)
    done = CliRunner().invoke(cli.app, ["fetch", "configs/demo.yaml"])
    assert isinstance(done.exception, ConfigError)
    assert str(done.exception).startswith("found no Earthdata login; set EARTHDATA_TOKEN")
    assert "\n" not in str(done.exception)


def test_a_missing_package_is_named(tmp_path, monkeypatch, context):
    monkeypatch.setitem(__import__("sys").modules, "earthaccess", None)
    with pytest.raises(ConfigError, match=r"install smdown\[fetch\]$"):
        fetch.find_wanted({"l4": SmapL4Config(path=str(tmp_path))}, context)
