"""One bit turned round, at 200 random places or more of each format: no crash, no hang, no other file changed.

What is read without a word is what nothing guards: values without a checksum, digits of a text. Its share is bounded
by what the format leaves open (:attr:`Format.unguarded`), and is recorded as a property of the test.
"""

from __future__ import annotations

import zlib

import numpy as np
import pytest

from tests.sources.damage import ASIDE, DIFFERENT, damaged, flip, read_apart, verdicts
from tests.sources.formats import FORMATS

VARIANTS = ("smap_l4", "smap_l3", "netcdf-4", "tif striped", "tif tiled")
"""Formats of which there are several: they share their 200."""


@pytest.mark.parametrize("name", FORMATS)
def test_one_bit(name, tmp_path, record_property):
    flips = 100 if name.startswith(VARIANTS) else 200
    places = np.random.default_rng(zlib.crc32(name.encode())).random(flips)
    folder = damaged(name, tmp_path, flips + 2, {n: flip(place) for n, place in enumerate(places, start=1)})
    reading = read_apart(name, folder)
    found = list(verdicts(name, flips + 2, reading, range(1, flips + 1)).values())
    record_property("set aside", found.count(ASIDE))
    record_property("undetected", found.count(DIFFERENT))
    assert found.count(ASIDE) > 0
    assert found.count(DIFFERENT) <= FORMATS[name].unguarded * flips
