"""The page on inputs says of every source what its ingest found."""

import re
from pathlib import Path

import pytest

from smdown.cubes import join
from smdown.evaluation import write_report
from smdown.evaluation.inputs import histogram_svg, input_pages
from smdown.sources.quality import Gap, Quality, VariableQuality, find_gaps, write_quality

DAYS = [*(f"2019-06-{d:02d}" for d in range(1, 20)), *(f"2019-07-{d:02d}" for d in range(24, 32))]
REASON = "got <b>bad</b>.h5, an empty file where an HDF5 file was wanted; download it again"


def report(**changes):
    gaps = find_gaps(DAYS, "2019-06-01", "2019-07-31")
    variable = VariableQuality(
        units="m3 m-3", total=400, valid=100, minimum=0.05, maximum=0.45, histogram=(5, 0, 20, 10), empty_days=0
    )
    values = {
        "source": "smap", "kind": "smap_l4", "inputs": "27 files", "fingerprint": "0", "files": 27,
        "set_aside": {"bad.h5": REASON}, "days": 27, "first": DAYS[0], "last": DAYS[-1], "gaps": gaps,
        "variables": {"sm_surface": variable},
    }  # fmt: skip
    return Quality(**(values | changes))


@pytest.fixture
def workdir(tmp_path):
    write_quality(join(str(tmp_path), "sources", "smap.zarr"), report())
    static = {"source": "dem", "kind": "raster", "set_aside": {}, "days": 0, "first": "", "last": "", "gaps": ()}
    write_quality(join(str(tmp_path), "sources", "dem.zarr"), report(**static))
    return tmp_path


def test_an_outage_shows_where_it_lies(workdir):
    dem, smap = input_pages(str(workdir))
    assert (dem.name, dem.axis, dem.strip, dem.period) == ("dem", (), (), "without time")
    assert smap.gaps == ("2019-06-20 to 2019-07-23 (34 days)",)
    assert smap.axis == ("2019-06-01", "2019-07-31")
    ((left, width),) = smap.strip
    assert left == pytest.approx(100 * 19 / 61)
    assert width == pytest.approx(100 * 34 / 61)


def test_a_gap_at_either_end_is_inside_the_strip():
    gaps = (Gap(first="2019-05-01", last="2019-05-31"), Gap(first="2019-08-01", last="2019-08-10"))
    from smdown.evaluation.inputs import _page

    page = _page(report(gaps=gaps))
    assert page.strip[0][0] == 0
    assert sum(page.strip[-1]) == pytest.approx(100)


def test_the_page_stands_without_a_map_and_tells_why_a_file_was_set_aside(workdir):
    text = Path(write_report(workdir)).read_text()
    assert 'href="#inputs"' in text
    section = text.split('<section id="inputs">')[1].split("</section>")[0]
    assert "1 set aside" in section
    assert "an empty file where an HDF5 file was wanted" in section
    assert "<b>bad</b>" not in section
    assert "25.0 %" in section
    assert section.count('class="histogram"') == 2


def test_a_histogram_is_to_scale_and_hides_no_bin():
    svg = histogram_svg((5, 0, 2000, 1), 'Histogram of "x" <script>')
    heights = [float(h) for h in re.findall(r'height="([\d.]+)"', svg)]
    assert heights == [1.5, 22.0, 1.5]
    assert "script>" not in svg.replace("&", "")
    assert histogram_svg((), "x") == histogram_svg((0, 0), "x") == ""
