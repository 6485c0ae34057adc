"""Headers that claim absurd sizes: refused in a line before memory is asked for."""

from __future__ import annotations

import struct
import zipfile

import h5py
import numpy as np
import pytest
import rasterio

from smdown.errors import InputError
from smdown.sources.config import CellListConfig
from smdown.sources.ingest import check
from smdown.sources.items import LARGEST_BYTES
from tests.sources import kinds
from tests.sources.damage import ASIDE, damaged, read_apart, verdicts
from tests.sources.formats import FORMATS

HUGE = 10**12


def regrown(*names, shape=(HUGE,)):
    """Return what puts an unwritten array of a terabyte in the place of others; nothing of it lies in the file."""

    def spoil(path):
        with h5py.File(path, "a") as file:
            for name in names:
                dtype, attrs = file[name].dtype, dict(file[name].attrs)
                del file[name]
                side = (min(1000, n) for n in shape)
                node = file.create_dataset(name, shape=shape, dtype=dtype, chunks=tuple(side), fillvalue=0.3)
                for key, value in attrs.items():
                    if key not in ("DIMENSION_LIST", "REFERENCE_LIST", "CLASS", "NAME"):
                        node.attrs[key] = value

    return spoil


def l3(*names, **options):
    return regrown(*(f"Soil_Moisture_Retrieval_Data_AM/{name}" for name in names), **options)


def tag(number, value):
    """Return what writes another value into a tag of a classic TIFF."""

    def spoil(path):
        content = bytearray(path.read_bytes())
        start = int.from_bytes(content[4:8], "little")
        for n in range(int.from_bytes(content[start : start + 2], "little")):
            entry = start + 2 + 12 * n
            if int.from_bytes(content[entry : entry + 2], "little") == number:
                content[entry + 2 : entry + 12] = struct.pack("<HII", 4, 1, value)
        path.write_bytes(bytes(content))

    return spoil


def text(old, new):
    """Return what replaces text, in bytes."""

    def spoil(path):
        content = path.read_bytes()
        assert old in content
        path.write_bytes(content.replace(old, new, 1))

    return spoil


def dimension(name, length):
    """Return what writes another length of a dimension into the header of a classic NetCDF."""
    mark = len(name).to_bytes(4, "big") + name.encode().ljust(-(-len(name) // 4) * 4, b"\0")

    def spoil(path):
        content = bytearray(path.read_bytes())
        at = content.index(mark) + len(mark)
        content[at : at + 4] = length.to_bytes(4, "big")
        path.write_bytes(bytes(content))

    return spoil


FIELD = "Geophysical_Data/sm_surface"
SIZES = [
    ("smap_l4", regrown("x"), "x claims 1000000000000 values"),
    ("smap_l4", regrown(FIELD, shape=(10**6, 10**6)), "an array of (1000000, 1000000)"),
    ("smap_l3", l3("soil_moisture", shape=(10**6, 10**6)), "different shapes"),
    ("smap_l3", l3("soil_moisture", "retrieval_qual_flag"), "claims 1000000000000 values"),
    ("cell_list", regrown("soil_moisture"), "claims 1000000000000 values"),
    ("cell_list", regrown("latitude", "longitude", "soil_moisture"), "claims 1000000000000 values"),
    ("netcdf-4", regrown("lat"), "lat claims 1000000000000 values"),
    ("netcdf-4", regrown("time"), "time claims 1000000000000 values"),
    ("netcdf-4", regrown("pr", shape=(1, 10**6, 10**6)), ""),
    ("netcdf-3", dimension("lat", 2**31 - 1), "cannot be read as NetCDF"),
    ("netcdf-3", dimension("lon", 2**30), "cannot be read as NetCDF"),
    ("netcdf-3", dimension("time", 2**31 - 1), "cannot be read as NetCDF"),
    ("tif striped", tag(256, 2**30), ""),
    ("tif striped", tag(257, 2**31 - 1), ""),
    ("tif tiled", tag(322, 2**30), ""),
    ("tif deflate", tag(278, 2**31 - 1), None),
    ("vrt", text(b'rasterXSize="16"', b'rasterXSize="2147483647"'), "beyond the world"),
    ("vrt", text(b'rasterYSize="16"', b'rasterYSize="2147483647"'), "beyond the world"),
    ("reflectance", tag(256, 2**30), ""),
]


@pytest.mark.parametrize(("name", "spoil", "why"), SIZES)
def test_a_size_of_terabytes_is_refused(name, spoil, why, tmp_path):
    """A process that may take 4 GiB reads the others, and says why not this one."""
    folder = damaged(name, tmp_path, 4, {1: spoil})
    reading = read_apart(name, folder)
    found = verdicts(name, 4, reading, {1})
    if why is None:  # rows of a strip beyond the image are no damage
        return
    assert found == {1: ASIDE}
    assert why in next(iter(reading.set_aside.values()))
    assert "Unable to allocate" not in str(reading.set_aside)


def test_a_raster_of_gigabytes_is_read_where_it_is_wanted(tmp_path):
    """A sparse file of 10^9 pixels is no damage: what the extent needs of it is read."""
    name = "tif striped"
    folder = damaged(name, tmp_path, 4, {})
    with rasterio.open(next(folder.glob("t_000*")), "r+") as file:
        profile, values = file.profile, file.read(1)
    profile |= {"width": 30_000, "height": 30_000, "sparse_ok": True}
    profile |= {"tiled": True, "blockxsize": 256, "blockysize": 256}
    with rasterio.open(folder / "t_000.tif", "w", **profile) as file:
        file.write(values, 1, window=((0, 16), (0, 16)))
    reading = read_apart(name, folder)
    assert not reading.error
    piece = FORMATS[name].piece(reading.data, 0)
    np.testing.assert_array_equal(piece["elevation"], values)


def heap(size):
    """Return what writes the size of the first object of an HDF5 file's heap."""

    def spoil(path):
        content = bytearray(path.read_bytes())
        at = content.index(b"GCOL") + 16 + 8
        content[at : at + 8] = struct.pack("<Q", size)
        path.write_bytes(bytes(content))

    return spoil


def test_a_heap_in_which_the_library_loops(tmp_path):
    """Objects that do not follow each other, of which some keep libhdf5 busy for ever."""
    name, sizes = "netcdf-4", (0, 1, 0x4D, 4096, 2**32, 2**63, 2**64 - 16, 2**64 - 1)
    total = len(sizes) + 2
    folder = damaged(name, tmp_path, total, {n: heap(size) for n, size in enumerate(sizes, start=1)})
    reading = read_apart(name, folder)
    found = verdicts(name, total, reading, range(1, total - 1))
    assert set(found.values()) == {ASIDE}
    assert sum("its heap is damaged" in reason for reason in reading.set_aside.values()) >= len(sizes) - 2


@pytest.mark.parametrize("claimed", [LARGEST_BYTES + 1, 2**32 - 2])
def test_a_member_of_an_archive(claimed, tmp_path):
    """A member that claims to unpack to more than 2 GiB is not unpacked."""
    path = kinds.cell_list(tmp_path / "loose", 0)
    with zipfile.ZipFile(tmp_path / "a.zip", "w", zipfile.ZIP_DEFLATED) as archive:
        archive.write(path, path.name)
    content = bytearray((tmp_path / "a.zip").read_bytes())
    for mark, at in ((b"PK\1\2", 24), (b"PK\3\4", 22)):
        place = content.index(mark) + at
        content[place : place + 4] = claimed.to_bytes(4, "little")
    (tmp_path / "a.zip").write_bytes(bytes(content))
    config = CellListConfig(path=str(tmp_path / "a.zip"), variables={"sm": "soil_moisture"})
    with pytest.raises(InputError, match=r"list_2020-04-01.nc, which cannot be unpacked \(it claims \d{10} bytes"):
        check({"list": config}, kinds.context(tmp_path / "out"))
