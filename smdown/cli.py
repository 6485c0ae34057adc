"""The commands: parse, open the project, run its stages, print. No logic of their own."""

from __future__ import annotations

import sys
import traceback
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer
from rich.console import Console

import smdown
from smdown.errors import ConfigError, IncompleteError, SmdownError, is_disk_full
from smdown.options import (
    Calibrate,
    ClusterOption,
    Config,
    Fresh,
    Insecure,
    LogJson,
    PerformanceReport,
    PlanJson,
    Set,
    Strict,
    Workdir,
)
from smdown.redact import redact
from smdown.stopping import stop_signals

app = typer.Typer(
    name="smdown",
    help="Turn coarse soil moisture (SMAP, 9 km) into 30 m maps, with their uncertainty.",
    epilog="Start with: smdown demo. Each stage is resumable: run the same command again to go on.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    context_settings={"help_option_names": ["-h", "--help"]},
)

STAGES = ("ingest", "features", "train", "predict", "evaluate")


def _version(value: bool) -> None:
    if value:
        typer.echo(f"smdown {smdown.__version__}")
        raise typer.Exit


@app.callback()
def _root(
    version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Print the version and leave.")
    ] = False,
) -> None:
    del version


def _stages(
    names: tuple[str, ...],
    config: Path,
    cluster: str | None,
    workdir: str | None,
    sets: list[str] | None,
    strict: bool = False,
    fresh: bool = False,
    insecure: bool = False,
    log_json: str | None = None,
    performance: bool = False,
) -> None:
    from smdown.project import open_project
    from smdown.project.watching import watched_client
    from smdown.runtime import load_profile
    from smdown.runtime.performance import check_performance_report
    from smdown.training.devices import Devices
    from smdown.training.world import world

    profile = load_profile(cluster)
    if performance:
        check_performance_report(profile)
    project = open_project(config, workdir=workdir, overrides=sets or ())
    project.devices = Devices(**profile.training.model_dump())
    project.fresh = fresh
    if strict:
        project.ingest_context = replace(project.ingest_context, strict=True)
    project.performance_report = performance
    first, command = world().rank == 0, " ".join(["smdown", *sys.argv[1:]])
    with watched_client(project, names, profile, command, log_json=log_json, quiet=not first, insecure=insecure) as (
        client,
        progress,
    ):
        project.run(names, client=client, progress=progress, command=command)
    if first:
        _print_summary(project, names, aside=log_json == "-")


def _print_summary(project: Any, stages: tuple[str, ...], *, aside: bool) -> None:
    from smdown.tables import look_at, metrics_tables, quality_summary, stage_table

    console = Console(stderr=aside)  # the standard output is JSON alone then
    quality = quality_summary(project) if "ingest" in stages else None
    for table in filter(None, (quality, stage_table(project), *metrics_tables(project))):
        console.print(table)
    for what, place in look_at(project):
        console.print(f"{what:<12} {place}", highlight=False, soft_wrap=True)


def _stage_command(name: str, summary: str) -> None:
    def command(
        config: Config,
        cluster: ClusterOption = None,
        workdir: Workdir = None,
        sets: Set = None,
        fresh: Fresh = False,
        insecure: Insecure = False,
        log_json: LogJson = None,
        performance_report: PerformanceReport = False,
    ) -> None:
        more: dict[str, Any] = {"insecure": insecure, "log_json": log_json, "performance": performance_report}
        _stages((name,), config, cluster, workdir, sets, fresh=fresh, **more)

    command.__doc__ = summary
    app.command(name)(command)


@app.command()
def ingest(
    config: Config,
    cluster: ClusterOption = None,
    workdir: Workdir = None,
    sets: Set = None,
    strict: Strict = False,
    insecure: Insecure = False,
    log_json: LogJson = None,
    performance_report: PerformanceReport = False,
) -> None:
    """Read every source into a clean Zarr cube on its own grid."""
    more: dict[str, Any] = {"insecure": insecure, "log_json": log_json, "performance": performance_report}
    _stages(("ingest",), config, cluster, workdir, sets, strict, **more)


_stage_command("features", "Resample drivers to the training resolutions and the map's, and keep them as cubes.")
_stage_command("train", "Train the networks on coarse cells and stations, fit their ensemble, write the bundle.")
_stage_command("predict", "Map the ensemble over 30 m tiles, conserving the coarse product.")
_stage_command("evaluate", "Compare the map with truth and stations, rank the drivers, write the report.")


@app.command()
def report(
    what: Annotated[
        Path, typer.Argument(metavar="WHAT", help="Project file (YAML), or the folder of a run.", show_default=False)
    ],
    workdir: Workdir = None,
    sets: Set = None,
    day: Annotated[str | None, typer.Option("--day", help="Day of the maps, as in 2020-07-20.")] = None,
) -> None:
    """Write the report of a run anew from what lies in its folder: report.html, one page that needs no network."""
    from smdown.project import report_of

    Console().print(report_of(what, workdir=workdir, overrides=sets or (), day=day), highlight=False, soft_wrap=True)


@app.command()
def run(
    config: Config,
    cluster: ClusterOption = None,
    workdir: Workdir = None,
    sets: Set = None,
    strict: Strict = False,
    fresh: Fresh = False,
    insecure: Insecure = False,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Print the plan, as smdown plan does, and stop.")] = False,
    log_json: LogJson = None,
    performance_report: PerformanceReport = False,
) -> None:
    """Run every stage, from ingest to the report; take up where an earlier run stopped."""
    if dry_run:
        _plan(config, (cluster,), workdir, sets, fresh=fresh)
        return
    more: dict[str, Any] = {"insecure": insecure, "log_json": log_json, "performance": performance_report}
    _stages(STAGES, config, cluster, workdir, sets, strict, fresh, **more)


@app.command()
def status(
    workdir: Annotated[
        str, typer.Argument(metavar="WORKDIR", help="Where a run's results go: a folder or bucket.", show_default=False)
    ],
    json: Annotated[bool, typer.Option("--json", help="Print it as JSON.")] = False,
) -> None:
    """Say how far a run is or how it ended, from anywhere that sees WORKDIR: tiles, rate, time, memory, failures."""
    from smdown.status import print_status

    print_status(workdir, as_json=json)


@app.command()
def plan(
    config: Config,
    cluster: Annotated[
        list[str] | None,
        typer.Option(
            "--cluster",
            help="Profile of the place; repeatable, to compare places. (default: this machine's cores)",
        ),
    ] = None,
    workdir: Workdir = None,
    sets: Set = None,
    json: PlanJson = None,
    calibrate: Calibrate = None,
) -> None:
    """Say what a run will do and need: tiles, bytes, memory, disk, time; refuse what cannot work."""
    _plan(config, cluster or (None,), workdir, sets, json, calibrate)


def _plan(
    config: Path,
    clusters: Sequence[str | None],
    workdir: str | None,
    sets: list[str] | None,
    json: Path | None = None,
    calibrate: bool | None = None,
    *,
    fresh: bool = False,
) -> None:
    from smdown.planning.console import places_table, plan_tables, write_json
    from smdown.project import open_project
    from smdown.runtime import load_profile

    project = open_project(config, workdir=workdir, overrides=sets or ())
    project.fresh = fresh
    found = project.plans([load_profile(cluster) for cluster in clusters], calibrate=calibrate)
    names = [Path(cluster).stem if cluster else "this machine" for cluster in clusters]
    console = Console()
    for table in plan_tables(project, found[0]):
        console.print(table)
    if len(found) > 1:
        console.print(places_table(names, found))
    if json is not None:
        write_json(found, json, names)
    if all(plan.problems for plan in found):
        found[0].check()


@app.command()
def fetch(
    config: Config,
    source: Annotated[
        list[str] | None, typer.Option("--source", help="SMAP source; repeatable. (default: all of them)")
    ] = None,
    out: Annotated[Path | None, typer.Option("--out", help="Folder. (default: where the source's path points)")] = None,
    version: Annotated[
        str | None, typer.Option("--product-version", help="As in 008. (default: the newest known)")
    ] = None,
    sets: Set = None,
) -> None:
    """Download the SMAP files that the sources lack, from NASA's archive (needs an Earthdata login)."""
    from smdown.project import open_project
    from smdown.runtime import open_progress
    from smdown.sources.fetch import fetch as fetch_files
    from smdown.sources.fetch import find_wanted

    project = open_project(config, overrides=sets or ())
    configs, context = project.source_configs, project.ingest_context
    auth, wanted = find_wanted(configs, context, names=source or (), out=out, version=version)
    for need in wanted:
        typer.echo(str(need))
    with open_progress().stage("fetch", sum(len(need.missing) for need in wanted)) as bar:
        came = fetch_files(auth, wanted, _teller(bar))
    typer.echo(f"fetched {came} files")


@app.command()
def demo(
    cluster: ClusterOption = None,
    workdir: Workdir = "demo",
    sets: Set = None,
    cells: Annotated[str, typer.Option(help="Coarse cells of the synthetic region, rows x columns.")] = "6x6",
    days: Annotated[int, typer.Option(min=40, help="Days that it covers.")] = 120,
    seed: Annotated[int, typer.Option(help="Another seed, another region.")] = 0,
    insecure: Insecure = False,
    log_json: LogJson = None,
    performance_report: PerformanceReport = False,
) -> None:
    """Run everything on a synthetic region that needs no download, and show the result."""
    from smdown.demo import inputs_home, write_demo
    from smdown.runtime import open_progress

    config = write_demo(inputs_home(workdir or "demo"), _pair(cells), days, seed, open_progress())
    more: dict[str, Any] = {"insecure": insecure, "log_json": log_json, "performance": performance_report}
    _stages(STAGES, config, cluster, workdir, sets, **more)


@app.command()
def twin(
    out: Annotated[Path, typer.Option("--out", help="Folder to write; must not exist yet.", show_default=False)],
    cells: Annotated[str, typer.Option(help="Coarse cells, rows x columns.")] = "8x8",
    days: Annotated[int, typer.Option(min=1, help="Days.")] = 120,
    stations: Annotated[int, typer.Option(min=0, help="Stations.")] = 60,
    seed: Annotated[int, typer.Option(help="Same seed, same bytes.")] = 0,
) -> None:
    """Make a synthetic region with known 30 m truth, as the input files that a user would have."""
    from smdown.runtime import open_progress
    from smdown.twin import make_twin

    if out.exists() and any(out.iterdir()):
        raise ConfigError(f"got --out {out}, which is not empty; name a new folder")
    progress = open_progress()
    with progress.stage("twin", 1) as bar:
        summary = make_twin(out, _pair(cells), days, stations, seed, progress=_teller(bar))
    Console().print(
        f"wrote {out}: {cells} cells, {summary.start} to {summary.end}, {stations} stations", highlight=False
    )


def _teller(bar: Any) -> Callable[[str, int, int], None]:
    return lambda text, done, total: bar.update(done, total, text)


@app.command()
def export(
    config: Config,
    out: Annotated[
        str | None,
        typer.Option(
            "--out", help="GeoTIFF of one map, folder of many with a STAC catalogue, or table of --point or --polygon."
        ),
    ] = None,
    pyramid: Annotated[
        str | None,
        typer.Option("--pyramid", metavar="URL", help="Zarr with ever halved resolutions, instead of --out."),
    ] = None,
    layer: Annotated[
        list[str] | None, typer.Option(help="Layer; repeatable. (default: all, in one GeoTIFF the first)")
    ] = None,
    day: Annotated[
        list[str] | None, typer.Option(help="ISO day; repeatable. (default: all, in one GeoTIFF the last)")
    ] = None,
    crs: Annotated[str | None, typer.Option(help="Coordinate system, such as EPSG:32614. (default: the map's)")] = None,
    resolution: Annotated[float | None, typer.Option(help="Side of a pixel, in units of that system.")] = None,
    point: Annotated[
        list[str] | None,
        typer.Option(metavar="LON,LAT", help="Point, or a CSV table of points; repeatable. To .csv or .parquet."),
    ] = None,
    polygon: Annotated[
        list[str] | None, typer.Option(metavar="GEOJSON", help="File of polygons; repeatable. To .csv or .parquet.")
    ] = None,
    stac: Annotated[bool, typer.Option("--stac/--no-stac", help="Write a catalogue into the folder.")] = True,
    workdir: Workdir = None,
    sets: Set = None,
) -> None:
    """Give the map away: cloud-optimised GeoTIFFs with a STAC catalogue, a Zarr pyramid, time series of places."""
    from smdown.project import open_project
    from smdown.project.giving import give
    from smdown.runtime import open_progress

    project = open_project(config, workdir=workdir, overrides=sets or ())
    written = give(
        project, open_progress(), out=out, pyramid=pyramid, points=point, polygons=polygon, layer=layer, day=day,
        crs=crs, resolution=resolution, stac=stac,
    )  # fmt: skip
    Console().print(f"wrote {written}", highlight=False, soft_wrap=True)


@app.command()
def verify(
    cubes: Annotated[list[str], typer.Argument(metavar="CUBE...", help="Cubes, paths or URLs.", show_default=False)],
    partial: Annotated[bool, typer.Option("--partial", help="Take unfinished cubes for sound.")] = False,
    repair: Annotated[
        bool, typer.Option("--repair", help="Withdraw damaged tiles, so that their stage makes them again.")
    ] = False,
) -> None:
    """Read every object of cubes, and say which are missing, truncated or changed."""
    from smdown.describe import verify_cubes
    from smdown.runtime import open_progress

    if not verify_cubes(cubes, open_progress(), partial=partial, repair=repair):
        raise typer.Exit(1)


@app.command()
def info(
    paths: Annotated[
        list[str], typer.Argument(metavar="PATH...", help="Cubes, stations, bundles.", show_default=False)
    ],
) -> None:
    """Describe a cube, a table of stations or a model bundle."""
    from smdown.describe import describe

    console = Console()
    for path in paths:
        for table in describe(path):
            console.print(table)


@app.command()
def bench(
    cluster: ClusterOption = None,
    workdir: Annotated[
        Path, typer.Option("--workdir", help="Folder that keeps the region and the results; every worker must see it.")
    ] = Path("bench"),
    cells: Annotated[str, typer.Option(help="Coarse cells of the generated region, rows x columns.")] = "4x8",
    seconds: Annotated[float, typer.Option(min=0.1, help="Of a measurement on one worker, about.")] = 8.0,
    rounds: Annotated[int, typer.Option(min=1, help="How often each is repeated; the median counts.")] = 1,
    stage: Annotated[list[str] | None, typer.Option(help="Stage to measure; repeatable. (default: all)")] = None,
    insecure: Insecure = False,
) -> None:
    """Measure what a cluster can do: every stage on generated data, how it scales, and what bounds it."""
    from smdown.bench import run_bench
    from smdown.runtime import load_profile, open_progress

    profile = load_profile(cluster)
    options: dict[str, Any] = {
        "cells": _pair(cells),
        "seconds": seconds,
        "rounds": rounds,
        "stages": stage,
        "insecure": insecure,
    }
    table, places = run_bench(profile, workdir, open_progress(), **options)
    console = Console()
    console.print(table)
    for place in places:
        console.print(f"wrote {place}", highlight=False, soft_wrap=True)


places = typer.Typer(no_args_is_help=True)
app.add_typer(places, name="cluster", help="Make ready what a cluster needs.")


@places.command()
def certs(
    out: Annotated[Path, typer.Option("--out", help="Folder to write.", show_default=False)],
    days: Annotated[int, typer.Option(min=1, help="How long they hold.")] = 365,
) -> None:
    """Make certificates for a cluster of your own, and say how to use them."""
    from smdown.runtime.certificates import advice, make_certificates

    Console().print(advice(make_certificates(out, days), days), highlight=False, soft_wrap=True, markup=False)


def _pair(text: str) -> tuple[int, int]:
    rows, x, cols = text.partition("x")
    if not (x and rows.isdigit() and cols.isdigit() and int(rows) > 0 and int(cols) > 0):
        raise ConfigError(f"got --cells {text!r}; write rows x columns, as in 8x8")
    return int(rows), int(cols)


def main() -> None:
    """Run the command line; errors of ours are one line and exit status 2, unfinished work is 1, signal n 128 + n."""
    with stop_signals() as came:
        try:
            status = _status()
        except KeyboardInterrupt:  # once more, while the first one was seen to
            status = 1
    sys.exit(128 + came[0] if came and status else status)


def _status() -> int:
    try:
        app()
    except SmdownError as error:
        _complain(str(error))
        return 1 if isinstance(error, IncompleteError) else 2
    except SystemExit as error:
        return int(error.code or 0)
    except Exception as error:  # noqa: BLE001 - a fault of ours, of which Python would tell with every secret in it
        if not is_disk_full(error):
            sys.stderr.write(redact("".join(traceback.format_exception(error))))
            return 1
        _complain(f"stopped: no space is left ({error}); free some, then run the same command again to go on")
        return 1
    return 0


def _complain(text: str) -> None:
    line = redact(" ".join(text.split()))
    Console(stderr=True).print(f"smdown: {line}", highlight=False, soft_wrap=True, markup=False)


if __name__ == "__main__":
    main()
