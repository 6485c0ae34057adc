"""Every block of code in the guides works: commands and Python on a finished demonstration, YAML by the models."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml
from pydantic import TypeAdapter, ValidationError

from smdown.config import ProjectConfig
from smdown.features.config import DriverConfig
from smdown.runtime.profile import Profile
from tests.pipeline import make_inputs, smdown, write_project
from tests.readme.blocks import GUIDES, ROOT, Block, blocks_of, command_lines
from tests.readme.commands import NOT_RUN, ONLY_PARSED, Shell

BLOCKS = [block for path in GUIDES for block in blocks_of(path)]
SHELLS = ("console", "sh", "bash", "")
pytestmark = pytest.mark.timeout(300)


@pytest.fixture(scope="module")
def demonstration(tmp_path_factory) -> Path:
    """A folder with a finished run in ``demo``, as `make demo` leaves it, only smaller and of one network."""
    folder = tmp_path_factory.mktemp("guide")
    project = write_project(folder / "demo" / "project.yaml", make_inputs(folder / "demo" / "inputs"))
    small = yaml.safe_load(project.read_text())
    small["training"]["networks"] = {"dnn": {}}
    small["training"]["resolutions"] = [1000, 100]
    small["features"]["resolutions"] = [1000, 100, 30]
    small["evaluation"]["baselines"] = False
    project.write_text(yaml.safe_dump(small))
    code, _, errors = smdown("run", project, "--cluster", "serial", "--workdir", folder / "demo")
    assert code == 0, errors
    return folder


@pytest.fixture
def here(demonstration, monkeypatch) -> Path:
    monkeypatch.chdir(demonstration)
    monkeypatch.setenv("MPLBACKEND", "agg")
    for name in ("configs", "cluster"):
        if not (demonstration / name).exists():
            (demonstration / name).symlink_to(ROOT / name)
    (demonstration / "fields.geojson").write_text(json.dumps(field_of(demonstration)))
    return demonstration


def field_of(folder: Path) -> dict[str, Any]:
    """Return a polygon in the middle of the demonstration's map, in degrees."""
    import xarray as xr
    from pyproj import Transformer

    mosaic = xr.open_zarr(folder / "demo" / "mosaic.zarr")
    x, y = (float(mosaic[axis].mean()) for axis in "xy")
    turn = Transformer.from_crs("EPSG:6933", "EPSG:4326", always_xy=True).transform
    ring = [list(turn(x + dx, y + dy)) for dx, dy in ((0, 0), (900, 0), (900, 900), (0, 900), (0, 0))]
    return {"type": "Feature", "properties": {"name": "field"}, "geometry": {"type": "Polygon", "coordinates": [ring]}}


def check_commands(block: Block, folder: Path) -> None:
    shell = Shell(folder)
    for number, line in command_lines(block):
        try:
            shell.do(line)
        except AssertionError as error:
            raise AssertionError(f"{block.path.relative_to(ROOT)}:{number}: {line}\n{error}") from error


def check_python(block: Block, folder: Path) -> None:
    del folder
    exec(compile("\n" * block.line + block.text, str(block.path), "exec"), {"__name__": "__guide__"})


def check_yaml(block: Block, folder: Path) -> None:
    """Validate part of a project file, of a profile, or of a list in one of them, whichever it is."""
    part = yaml.safe_load(block.text)
    project = yaml.safe_load((folder / "demo" / "project.yaml").read_text())
    refused = []
    for validate in (_as_project, _as_profile, _as_drivers):
        try:
            return validate(part, project)
        except (ValidationError, TypeError, ValueError) as error:
            refused.append(f"{validate.__name__}: {error}")
    raise AssertionError(f"{block.place} is part of nothing that smdown reads:\n" + "\n".join(refused))


def _as_project(part: Any, project: dict[str, Any]) -> None:
    if not isinstance(part, dict):
        raise TypeError("no mapping")
    merged = {key: project[key] | value if isinstance(project.get(key), dict) else value for key, value in part.items()}
    ProjectConfig.model_validate(project | merged)


def _as_profile(part: Any, project: dict[str, Any]) -> None:
    del project
    Profile.model_validate(part)


def _as_drivers(part: Any, project: dict[str, Any]) -> None:
    if not isinstance(part, list):
        raise TypeError("no list")
    found = TypeAdapter(list[DriverConfig]).validate_python(part)
    unknown = {driver.source for driver in found} - set(project["sources"])
    if unknown:
        raise ValueError(f"no sources {unknown}")


RULES: dict[str, Callable[[Block, Path], None]] = {
    **dict.fromkeys(SHELLS, check_commands), "python": check_python, "yaml": check_yaml,
    "text": lambda block, folder: None,  # output, for people
}  # fmt: skip


@pytest.mark.parametrize("block", BLOCKS, ids=lambda block: block.place)
def test_block(block, here):
    rule = RULES.get(block.language)
    assert rule is not None, f"{block.place}: no rule for blocks of {block.language!r}; write one in {__file__}"
    rule(block, here)


def test_every_guide_is_looked_at():
    assert [path.parent.name or "root" for path in GUIDES][1:] == [
        name for name in ("cluster", "configs", "benchmarks") if (ROOT / name / "README.md").exists()
    ]
    assert len(BLOCKS) > 10


def test_reasons_are_given_for_what_is_not_run():
    assert all(ONLY_PARSED.values())
    assert all(NOT_RUN.values())


@pytest.mark.parametrize(("language", "text", "why"), [
    ("console", "$ smdown exprt demo/project.yaml\n", "no command 'exprt'"),
    ("console", "$ smdown plan configs/demo.yaml --clutser x\n", "No such option"),
    ("console", "$ smdown run configs/nowhere.yaml\n", "there is no configs/nowhere.yaml"),
    ("console", "$ make demonstration\n", "No rule to make target"),
    ("console", "done in 4 s\n", "is no command"),
    ("sh", "python -m benchmarks.skill --wrkdir skill\n", "is refused"),
    ("sh", "python -m benchmarks.skull\n", "skull"),
    ("sh", "pip install -e . --group bnch\n", "bnch"),
    ("", "dask worker tcp://127.0.0.1:8786 --nthread\n", "nthread"),
    ("", "sbatch cluster/slurm/nothing.sbatch configs/demo.yaml\n", "there is no cluster/slurm/nothing"),
    ("sh", "curl https://example.org\n", "no rule for 'curl'"),
    ("sh", "ls \\\n", "goes on"),
    ("yaml", "trainings: {epochs: 4}\n", "part of nothing"),
    ("yaml", "- {name: a, kind: source, source: nowhere, variable: b}\n", "no sources"),
    ("python", "import smdown\nsmdown.open_projekt\n", "open_projekt"),
])  # fmt: skip
def test_what_is_stale_fails(language, text, why, here):
    block = Block(ROOT / "README.md", 1, language, text)
    with pytest.raises((AssertionError, AttributeError, ImportError), match=why):
        RULES[language](block, here)


def test_commands_on_the_demonstration_are_really_run(here):
    assert Shell(here).do("smdown info demo/mosaic.zarr") == "run"
    with pytest.raises(AssertionError, match=r"nothing\.zarr"):
        Shell(here).do("smdown info demo/nothing.zarr")
    assert Shell(here).do("smdown run configs/demo.yaml").startswith("parsed: ")
    shell = Shell(here)
    shell.do("export A=~/b")
    assert shell.variables["A"] == f"{shell.home}/b"
    assert Path(shell.home).is_relative_to(here)
    assert "A" not in os.environ
