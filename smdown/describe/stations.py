"""Describe a table of stations."""

from __future__ import annotations

import numpy as np
import xarray as xr
from rich.table import Table

from smdown.cubes.store import sizes
from smdown.describe.texts import days_text, facts, grid, size_text


def station_tables(path: str, table: xr.Dataset, fingerprint: str) -> list[Table]:
    """Return the tables that describe a table of stations."""
    lon, lat = table.longitude.values, table.latitude.values
    networks = zip(*np.unique(table.network.values, return_counts=True), strict=True)
    objects = sizes(path)
    about = {
        "kind": "stations",
        "stations": f"{table.sizes['station']} ({', '.join(f'{n} {c}' for n, c in networks)})",
        "extent": f"lon {lon.min():.4f} to {lon.max():.4f}, lat {lat.min():.4f} to {lat.max():.4f}",
        "times": days_text(table.time.values),
        "size": f"{size_text(sum(objects.values()))} in {len(objects)} objects",
        "fingerprint": fingerprint,
    }
    about |= {k: v for k, v in table.attrs.items() if isinstance(v, str) and k not in about}
    rows = []
    for name, values in table.data_vars.items():
        good = values.values[np.isfinite(values.values)]
        span = f"{good.min():.4g} to {good.max():.4g}" if good.size else "none"
        rows.append((name, values.dtype, values.attrs.get("units", ""), span, f"{good.size / values.size:.0%}"))
    return [facts(path, about), grid("Layers", "name|type|units|values|valid>", rows)]
