"""What was promised of resampling, computed from the results of a run."""

from __future__ import annotations

from typing import Any

from benchmarks.record import claim

OURS = "smdown"
Results = list[dict[str, Any]]
FASTER = (
    ("30 m to 1000 m", "GDAL", 30.0),
    ("30 m to 100 m", "GDAL", 20.0),
    ("30 m to 100 m", "torch interpolate", 1.0),
    ("1000 m to 30 m", "GDAL", 20.0),
    ("UTM 30 m to 30 m", "GDAL exact", 6.0),
    ("UTM 30 m to 30 m", "GDAL", 4.0),
)
"""Job, peer, and how many times as fast one thread of ours is at least."""


def make_claims(results: Results) -> list[dict[str, Any]]:
    """Set each promise beside its figure."""
    jobs = list(dict.fromkeys(r["job"] for r in results))
    claims = [
        claim(f"{job}: as fast as {peer}, one thread each", speed_ratio(results, job, OURS, peer), "times", ">=", bar)
        for job, peer, bar in FASTER
        if job in jobs
    ]
    for job in jobs:
        ours = find(results, job, OURS) or {}
        claims += [
            claim(f"{job}: difference from exact GDAL", ours.get("difference_max"), "of the range", "<=", 2e-6),
            claim(f"{job}: step across tiles' edges", ours.get("seam_ratio"), "times", "<=", 1.01),
            claim(
                f"{job}: two workers as fast as one",
                speed_ratio(results, job, f"{OURS}, 2 workers", f"{OURS}, 1 worker"), "times", ">=", 1.8,
            ),
        ]  # fmt: skip
    return claims


def find(results: Results, job: str, method: str) -> dict[str, Any] | None:
    """Return the result of a method on a job, if it took part."""
    return next((r for r in results if r["job"] == job and r["method"] == method), None)


def speed_ratio(results: Results, job: str, method: str, peer: str) -> float | None:
    """Return how many times as fast a method is as a peer, on the field that both could take."""
    a, b = find(results, job, method), find(results, job, peer)
    if a is None or b is None:
        return None
    key = "mpx_s" if a["variant"] == b["variant"] else "mpx_s_none_missing"
    return float(a[key] / b[key])
