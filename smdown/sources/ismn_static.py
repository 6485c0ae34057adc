"""What an ISMN archive says of a station beside its data: the climate."""

from __future__ import annotations

import csv
import io
import re
from functools import lru_cache
from pathlib import PurePosixPath

from smdown.errors import InputError
from smdown.sources.items import Item

STATIC = "_static_variables.csv"
_CLIMATE = re.compile(r"[A-EW][A-Za-z]{0,2}")


def home(item: Item) -> tuple[str, str]:
    """Return folder and station of an item: a station's static variables lie beside its data."""
    folder = f"{item.place}!{PurePosixPath(item.member).parent}" if item.member else str(item.place).rpartition("/")[0]
    return folder, "_".join(item.name.split("_")[:3])


@lru_cache(maxsize=1024)
def climate_of(item: Item | None) -> str:
    """Return the Koeppen-Geiger class that a station's static variables state, empty where they do not.

    Parameters
    ----------
    item : Item, optional
        ``*_static_variables.csv`` of an ISMN archive: quantity, unit, depths, value, description and source,
        by semicolons.
    """
    if item is None:
        return ""
    try:
        rows = csv.reader(io.StringIO(item.read().decode("utf-8", "replace"), newline=""), delimiter=";")
        found = [r for r in rows if r and r[0].strip().lower() == "climate classification" and len(r) > 4]
    except (InputError, csv.Error):
        return ""
    found.sort(key=lambda r: "geiger" not in (r[6].lower() if len(r) > 6 else ""))  # maps before what networks say
    return next((value for r in found if _CLIMATE.fullmatch(value := r[4].strip())), "")
