"""The satellite's outages of 2019 and 2022 are gaps of the report, to the day."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from smdown.cubes import open_cube
from smdown.sources.config import SmapL3Config, SmapL4Config
from smdown.sources.quality import read_quality
from tests.sources import kinds
from tests.sources.fabricate import ingest, smap_name, write_l3, write_smap

OUTAGES = [("2019-06-19", "2019-07-23", 35), ("2022-08-06", "2022-09-20", 46)]


def days(first, last):
    return [str(day) for day in np.arange(np.datetime64(first), np.datetime64(last) + 1)]


def around(first, last):
    """The days of an outage, and ten on either side."""
    start, end = np.datetime64(first) - 10, np.datetime64(last) + 10
    return days(start, end), set(days(first, last))


@pytest.mark.parametrize(("first", "last", "length"), OUTAGES)
@pytest.mark.parametrize("files", ["none", "empty"])
def test_retrievals_have_a_gap(first, last, length, files, tmp_path):
    """SMAP L3, without files for those days, or with files that hold fills alone."""
    every, missing = around(first, last)
    for n, day in enumerate(every):
        field = np.full(kinds.CELLS.shape, np.nan) if day in missing else kinds.values(n)
        if day not in missing or files == "empty":
            write_l3(tmp_path / "in" / f"SMAP_L3_SM_P_E_{day.replace('-', '')}_R19240_001.h5", field, field)
    context = replace(kinds.context(tmp_path / "out"), start=every[0], end=every[-1])
    receipt, url = ingest(SmapL3Config(path=str(tmp_path / "in")), context)
    report = read_quality(url)
    assert [(gap.first, gap.last, gap.days) for gap in report.gaps] == [(first, last, length)]
    assert not report.set_aside
    assert report.variables["sm_surface"].empty_days == (length if files == "empty" else 0)
    assert any(f"1 gaps of more than a day: {first} to {last}" in note for note in receipt.notes)


@pytest.mark.parametrize(("first", "last", "length"), OUTAGES)
def test_the_model_goes_on_and_says_so(first, last, length, tmp_path):
    """SMAP L4 has no gap: the model fills it, and the report counts its days."""
    every, _ = around(first, last)
    for n, day in enumerate(every):
        write_smap(tmp_path / "in" / smap_name(day, 1), kinds.values(n))
    context = replace(kinds.context(tmp_path / "out"), start=every[0], end=every[-1])
    _, url = ingest(SmapL4Config(path=str(tmp_path / "in")), context)
    report = read_quality(url)
    assert report.gaps == ()
    assert open_cube(url).spec.times == tuple(every)
    assert any(note.startswith(f"{length} days lie in an outage of the satellite") for note in report.notes)
