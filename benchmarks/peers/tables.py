"""The results as tables on the terminal."""

from __future__ import annotations

from typing import Any

from rich.console import Console
from rich.table import Table

from benchmarks.peers.claims import OURS, Results, speed_ratio

COLUMNS = (
    "method", "Mpx/s,\n5 % missing", "Mpx/s,\nnone missing", f"{OURS}\nis faster", "from exact GDAL,\nmost",
    "99.9 % of\npixels", "seam\nratio", "tiles from\nwhole", "valid", "of\nmemcpy", "peak\nMiB",
)  # fmt: skip


def print_job(console: Console, results: Results, megapixels: float) -> None:
    """Print the table of one job."""
    job = results[0]["job"]
    table = Table(title=f"{job} ({megapixels:.2f} Mpx of the larger side)", title_justify="left")
    for n, column in enumerate(COLUMNS):
        table.add_column(column, justify="left" if n == 0 else "right", no_wrap=n == 0)
    for r in results:
        own = r["method"].startswith(OURS)
        ratio = None if r["method"] == OURS else speed_ratio(results, job, OURS, r["method"])
        table.add_row(
            r["method"], _text(r["mpx_s"] if r["variant"] == "5 % missing" else None, ".1f"),
            _text(r["mpx_s_none_missing"], ".1f"), _text(ratio, ".1f"), _text(r["difference_max"], ".1e"),
            _text(r["difference_p999"], ".1e"), _text(r["seam_ratio"], ".4g"), _text(r["tile_difference"], ".0e"),
            _text(r["valid_share"], ".3f"), _text(r["memcpy_share"], ".1%"), _text(r.get("peak_mib"), ".0f"),
            style="bold" if own else None,
        )  # fmt: skip
    console.print(table)


def print_claims(console: Console, claims: list[dict[str, Any]]) -> None:
    """Print the promises."""
    table = Table(title="What was promised", title_justify="left")
    for column in ("claim", "value", "bar", "holds"):
        table.add_column(column, justify="left" if column == "claim" else "right")
    for c in claims:
        value = "not measured" if c["value"] is None else f"{c['value']:.3g} {c['unit']}"
        table.add_row(c["claim"], value, c["bar"], "yes" if c["holds"] else "NO")
    console.print(table)


def _text(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
