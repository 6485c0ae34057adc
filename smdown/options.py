"""Options that several commands share."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

Config = Annotated[Path, typer.Argument(help="Project file (YAML); see configs/.", show_default=False)]
ClusterOption = Annotated[
    str | None,
    typer.Option(
        "--cluster",
        help="Profile of the place to run: a YAML of cluster/profiles/, or serial. (default: this machine's cores)",
    ),
]
Insecure = Annotated[
    bool,
    typer.Option("--insecure", help="Speak to other machines without certificates, on a network that is yours alone."),
]
Workdir = Annotated[
    str | None, typer.Option("--workdir", help="Where results go. (default: a folder of the project's name)")
]
Set = Annotated[
    list[str] | None, typer.Option("--set", metavar="A.B=C", help="Replace one value of the project file; repeatable.")
]
Strict = Annotated[
    bool, typer.Option("--strict", help="Stop at the first input file that cannot be used, instead of going on.")
]
PlanJson = Annotated[Path | None, typer.Option("--json", metavar="FILE", help="Write the plan as JSON too.")]
Calibrate = Annotated[
    bool | None,
    typer.Option(
        "--calibrate/--no-calibrate",
        help="Time some real tiles. (default: if inputs and bundle are there, and no run has measured it)",
        show_default=False,
    ),
]
Fresh = Annotated[
    bool, typer.Option("--fresh", help="Replace what another configuration or input made, instead of refusing.")
]
LogJson = Annotated[
    str | None,
    typer.Option("--log-json", metavar="FILE", help="Add every event to FILE as a line of JSON; - is standard output."),
]
PerformanceReport = Annotated[
    bool, typer.Option("--performance-report", help="Keep Dask's page on each stage in performance/ of the results.")
]
