"""How exported maps look: the colours of layers and flags, as a palette, a QGIS style and a thumbnail."""

from __future__ import annotations

import io
import math
from dataclasses import dataclass
from pathlib import Path
from xml.etree import ElementTree as ET

import matplotlib as mpl
import numpy as np
import rasterio
from matplotlib.colors import to_hex, to_rgba
from PIL import Image
from rasterio.enums import Resampling

from smdown.cubes import Variable, put
from smdown.export.tally import Stats

FLAG_COLOURS = ("#f2f3f3", "#9aa3aa", "#d55e00", "#cc79a7", "#56b4e9", "#e69f00", "#0072b2", "#009e73", "#f0e442")
"""Of pixels without a flag, then of each flag; whoever has several is shown by the lowest."""
THUMBNAIL = "thumbnail.png"
_STOPS = 9
_THUMBNAIL = 512


@dataclass(frozen=True, slots=True)
class Range:
    """Values at the two ends of a layer's colours."""

    low: float
    high: float


def colours_of(variable: Variable) -> str:
    """Return a colour map that everyone can tell apart: dry to wet for a layer, faint to strong for its error."""
    return "magma_r" if variable.name.endswith("_std") else "YlGnBu"


def range_of(variable: Variable, stats: Stats) -> Range:
    """Return what the colours span: the valid range, the same on all days, or else from zero to what is common."""
    if variable.valid_range is not None and np.isfinite(variable.valid_range).all():
        return Range(*variable.valid_range)
    if math.isnan(stats.mean):
        return Range(0.0, 1.0)
    low, high = min(0.0, stats.low), max(0.0, stats.mean + 3 * stats.std)
    return Range(low, high if high > low else low + 1.0)


def flag_names(variable: Variable) -> list[str]:
    """Return the names of every combination of flags, from none (0) to all; empty where a variable has no flags."""
    masks = [int(mask) for mask in variable.attrs.get("flag_masks", ())]
    words = [word.replace("_", " ") for word in str(variable.attrs.get("flag_meanings", "")).split()]
    if not masks or sum(masks) > 254 or len(masks) != len(words):
        return []
    return [
        " + ".join(word for mask, word in zip(masks, words, strict=True) if value & mask) or "nothing to say"
        for value in range(sum(masks) + 1)
    ]


def palette(variable: Variable) -> dict[int, tuple[int, int, int, int]]:
    """Return the colour of every combination of flags; see :func:`flag_names`."""
    return {value: _rgba(FLAG_COLOURS[_first(value)]) for value in range(len(flag_names(variable)))}


def _first(value: int) -> int:
    """Return the place of the lowest bit, counted from 1; 0 of zero."""
    return min((value & -value).bit_length(), len(FLAG_COLOURS) - 1)


def _rgba(colour: str) -> tuple[int, int, int, int]:
    r, g, b, a = (round(255 * part) for part in to_rgba(colour))
    return r, g, b, a


def qml(variable: Variable, stats: Stats) -> str:
    """Return a QGIS layer style: QGIS loads it by itself where it lies beside the map under the same name."""
    root = ET.Element("qgis", version="3.28", styleCategories="Symbology")
    pipe = ET.SubElement(root, "pipe")
    if names := flag_names(variable):
        _paletted(pipe, variable, names)
    else:
        _ramp(pipe, variable, range_of(variable, stats))
    ET.indent(root)
    return "<!DOCTYPE qgis PUBLIC 'http://mrcc.com/qgis.dtd' 'SYSTEM'>\n" + ET.tostring(root, "unicode") + "\n"


def _paletted(pipe: ET.Element, variable: Variable, names: list[str]) -> None:
    renderer = ET.SubElement(pipe, "rasterrenderer", type="paletted", band="1", opacity="1", alphaBand="-1")
    entries = ET.SubElement(renderer, "colorPalette")
    for value, (r, g, b, _) in palette(variable).items():
        ET.SubElement(
            entries, "paletteEntry", value=str(value), color=f"#{r:02x}{g:02x}{b:02x}", alpha="255", label=names[value]
        )


def _ramp(pipe: ET.Element, variable: Variable, span: Range) -> None:
    ends = {"classificationMin": f"{span.low:.6g}", "classificationMax": f"{span.high:.6g}"}
    renderer = ET.SubElement(
        pipe,
        "rasterrenderer",
        {"type": "singlebandpseudocolor", "band": "1", "opacity": "1", "alphaBand": "-1", **ends},
    )
    shader = ET.SubElement(ET.SubElement(renderer, "rastershader"), "colorrampshader", {
        "colorRampType": "INTERPOLATED", "classificationMode": "1", "clip": "0",
        "minimumValue": ends["classificationMin"], "maximumValue": ends["classificationMax"],
    })  # fmt: skip
    for share in np.linspace(0, 1, _STOPS):
        value = f"{span.low + share * (span.high - span.low):.6g}"
        colour = to_hex(mpl.colormaps[colours_of(variable)](float(share)))
        ET.SubElement(shader, "item", value=value, label=value, color=colour, alpha="255")


def write_style(path: Path, variable: Variable, stats: Stats) -> None:
    """Write what viewers look for beside a map: a QGIS style, and for flags their names where GDAL reads them."""
    put(str(path.with_suffix(".qml")), qml(variable, stats).encode())
    if names := flag_names(variable):
        root = ET.Element("PAMDataset")
        categories = ET.SubElement(ET.SubElement(root, "PAMRasterBand", band="1"), "CategoryNames")
        for name in names:
            ET.SubElement(categories, "Category").text = name
        ET.indent(root)
        put(f"{path}.aux.xml", ET.tostring(root))


def write_thumbnail(cog: Path, variable: Variable, stats: Stats, path: Path) -> None:
    """Write a small picture of a finished map, read from its overviews; clear where nothing is known."""
    with rasterio.open(cog) as file:
        step = max(1.0, max(file.shape) / _THUMBNAIL)
        shape = tuple(max(1, round(side / step)) for side in file.shape)
        counts = file.read(1, out_shape=shape, masked=True, resampling=Resampling.average)
        values = counts * file.scales[0] + file.offsets[0]
    span = range_of(variable, stats)
    share = (values.filled(span.low) - span.low) / (span.high - span.low)
    rgba = mpl.colormaps[colours_of(variable)](np.clip(share, 0, 1), bytes=True)
    rgba[np.ma.getmaskarray(values)] = 0
    png = io.BytesIO()
    Image.fromarray(rgba, "RGBA").save(png, "PNG")
    put(str(path), png.getvalue())
