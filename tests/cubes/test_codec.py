"""Shards that we encode are read by Zarr, those that Zarr encodes by us, value for value."""

import itertools

import numpy as np
import pytest
import zarr
from hypothesis import given
from hypothesis import strategies as st
from zarr.codecs import BloscCodec, Crc32cCodec

from smdown.cubes import CubeSpec, Variable, create_cube, open_cube, store
from smdown.cubes.codec import ShardCodec
from smdown.errors import CubeError
from smdown.grid import RasterGrid, Window
from smdown.testing import windows

SHAPE = (45, 70)
RASTER = RasterGrid("EPSG:6933", 0.0, 0.0, 30.0, -30.0, *SHAPE)
KINDS = (Variable("packed", dtype="int16", scale=1e-3), Variable("classes", dtype="uint8"), Variable("real"))


@pytest.fixture(scope="module")
def cube(tmp_path_factory):
    """Shards of 32 px that the raster cuts, chunks of 8 px that it cuts too."""
    made = create_cube(str(tmp_path_factory.mktemp("codec") / "c.zarr"), CubeSpec(RASTER, KINDS, (), 32, 8))
    rng = np.random.default_rng(3)
    for variable in KINDS:
        values = rng.integers(0, 9, SHAPE).astype(np.float32) / (1 if variable.name == "classes" else 8)
        if variable.is_float:
            values[rng.random(SHAPE) < 0.3] = np.nan
        made.write(variable.name, values, RASTER.window)
    made.finish()
    return made


@given(window=windows(least=-5, most=60, max_side=50), name=st.sampled_from([v.name for v in KINDS]))
def test_any_window_is_what_zarr_reads_there(cube, window, name):
    inside = window.intersect(RASTER.window)
    found = cube.read(name, window)
    if inside is None:
        assert found.shape == window.shape
        return
    raw = np.asarray(zarr.open_array(f"{cube.url}/{name}", mode="r")[inside.slices])
    np.testing.assert_array_equal(found[inside.relative_to(window).slices], cube.variables[name].unpack(raw))


@pytest.mark.parametrize(
    ("cname", "shuffle", "dtype"),
    list(itertools.product(("zstd", "lz4"), ("shuffle", "bitshuffle", "noshuffle"), ("int16", "float32", "uint8"))),
)
def test_what_zarr_writes_we_read_and_the_other_way_round(tmp_path, cname, shuffle, dtype):
    codecs = (BloscCodec(cname=cname, clevel=3, shuffle=shuffle), Crc32cCodec())
    array = zarr.create_array(
        tmp_path, name="a", shape=SHAPE, shards=(32, 32), chunks=(8, 8), dtype=dtype, compressors=codecs, fill_value=0
    )
    values = np.random.default_rng(4).integers(0, 200, SHAPE).astype(dtype)
    values[:20, :20] = 0  # chunks that Zarr leaves out
    array[...] = values
    codec = ShardCodec.of(array.metadata.to_dict())
    for row, col in np.ndindex(2, 3):
        place = Window(32 * row, min(32 * row + 32, 45), 32 * col, min(32 * col + 32, 70))
        url = str(tmp_path / f"a/c/{row}/{col}")
        out = np.zeros(place.shape, dtype=dtype)
        assert codec.read(url, place.shift(-32 * row, -32 * col), out)
        np.testing.assert_array_equal(out, values[place.slices])
        store.put(url, codec.encode(values[place.slices] + 1, 0))
    np.testing.assert_array_equal(zarr.open_array(tmp_path, path="a", mode="r")[...], values + 1)


def test_chunks_beyond_the_raster_are_left_out(cube):
    corner = store.get(f"{cube.url}/classes/c/1/2")  # 13 x 6 px of 32 x 32: two chunks of sixteen
    places = np.frombuffer(corner[-260:-4], "<u8").reshape(4, 4, 2)
    assert (places[..., 0] != 2**64 - 1).sum() == 2


def test_other_codecs_are_refused(tmp_path):
    array = zarr.create_array(tmp_path, shape=SHAPE, shards=(32, 32), chunks=(8, 8), dtype="int16")
    with pytest.raises(CubeError, match="not those that smdown writes"):
        ShardCodec.of(array.metadata.to_dict())


def test_a_small_window_reads_little(cube, monkeypatch):
    read = []

    def counting(url, spans, real=store.get_parts):
        found = real(url, spans)
        read.append(sum(map(len, found or ())))
        return found

    monkeypatch.setattr(store, "get_parts", counting)
    open_cube(cube.url).read("real", Window(3, 5, 3, 5))
    assert len(read) == 2
    assert sum(read) < 700  # the index, and one chunk of 64 values
