"""Sentinel-2's offset: products of processing baseline 04.00 and later hold 1000 counts more than reflectance says.

The baseline decides, not the day: baseline 04.00 began on 2022-01-25, but older scenes were reprocessed since
(Collection 1, baseline 05.00). ESA names it BOA_ADD_OFFSET; some catalogues have taken it off already and say so.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from contextlib import suppress
from typing import Any

import fsspec

from smdown.errors import InputError
from smdown.sources.places import Place
from smdown.sources.stac import StacItem

OFFSET = -0.1
"""Reflectance of count zero from baseline 04.00 on: BOA_ADD_OFFSET (-1000) over QUANTIFICATION_VALUE (10000)."""
_FIRST = 400
_IN_NAME = re.compile(r"_N(\d{4})_")
_IN_XML = re.compile(r"<PROCESSING_BASELINE>\s*(\d\d)\.?(\d\d)\s*<")
_APPLIED = ("earthsearch:boa_offset_applied", "sentinel:boa_offset_applied")
_BASELINE = ("s2:processing_baseline", "sentinel:processing_baseline", "processing:version", "processing:baseline")


def offset_of_item(item: StacItem, asset: str) -> float:
    """Return the offset of a STAC item's reflectances.

    Where the item says that it was taken off, there is none. Else the baseline decides, from the properties, the
    product's name or an asset's address; where none of them tells it, the offset stated for the asset.

    Raises
    ------
    InputError
        If none of these is there.
    """
    properties = item.data.get("properties", {})
    if any(properties.get(key) is True for key in _APPLIED):
        return 0.0
    stated = next((str(properties[key]) for key in _BASELINE if properties.get(key)), "")
    digits = stated.replace(".", "")
    if re.fullmatch(r"\d{4}", digits):
        return _of_baseline(int(digits))
    names = (item.id, str(properties.get("s2:product_uri", "")), str(item.asset(asset)))
    for name in names:
        if found := _IN_NAME.findall(name):
            return _of_baseline(int(found[-1]))
    offset = _stated_offset(item.data.get("assets", {}).get(asset, {}))
    if offset is not None:
        return offset
    raise _unknown(f"the STAC item {item.id}", "its properties")


def offset_of_file(place: Place) -> float:
    """Return the offset of a file below a product's folder: by its name, else by the metadata file inside.

    Raises
    ------
    InputError
        If neither tells the baseline.
    """
    found = _IN_NAME.findall(str(place))
    if found:
        return _of_baseline(int(found[-1]))
    root, inside, _ = str(place).rpartition("/GRANULE/")
    if inside:
        with suppress(OSError, UnicodeDecodeError, ValueError), fsspec.open(f"{root}/MTD_MSIL2A.xml", "rb") as stream:
            if match := _IN_XML.search(stream.read().decode()):
                return _of_baseline(int(match[1] + match[2]))
    raise _unknown(str(place), "MTD_MSIL2A.xml above it")


def _of_baseline(number: int) -> float:
    return OFFSET if number >= _FIRST else 0.0


def _stated_offset(asset: Mapping[str, Any]) -> float | None:
    """Return the offset that an asset states, in the raster extension's old or new way."""
    bands = [*asset.get("raster:bands", []), *asset.get("bands", []), asset]
    return next((float(b[k]) for b in bands for k in ("offset", "raster:offset") if k in b), None)


def _unknown(what: str, where: str) -> InputError:
    return InputError(
        f"got {what}, whose processing baseline stands neither in a name (_N0400_) nor in {where}; "
        "set offset: -0.1 from baseline 04.00 on, else 0"
    )
