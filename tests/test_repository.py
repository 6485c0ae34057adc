"""What must hold for the repository as a whole."""

import os
import re
import subprocess
import tomllib
from pathlib import Path

import pytest

import smdown
from smdown.cubes import layout
from smdown.runtime import load_profile

ROOT = Path(__file__).parents[1]
PROFILES = sorted((ROOT / "cluster" / "profiles").glob("*.yaml"))


def repository_files():
    """Tracked files, or all that are not ignored where this is no clone."""
    listing = subprocess.run(
        ["git", "ls-files", "--cached", "--others", "--exclude-standard"],
        cwd=ROOT, capture_output=True, text=True, check=False,
    )  # fmt: skip
    if listing.returncode:
        pytest.skip("not a clone")
    return [ROOT / name for name in listing.stdout.splitlines() if (ROOT / name).is_file()]


def texts():
    for path in repository_files():
        try:
            yield path, path.read_text(encoding="utf-8")
        except UnicodeDecodeError:
            continue


def test_no_file_names_a_machine():
    """Paths of somebody's machine, and hosts where packages or services lie, work nowhere else."""
    machine = re.compile(
        r"(?<![\w.$}~-])/(?:home|Users|root|mnt|scratch|work|opt|srv|tmp/\w)/?\w[\w./-]*"
        r"|file:///|--(?:extra-)?index-url|--find-links|\bpy[p]i\.org|python[h]osted"
    )
    allowed = {ROOT / "tests" / "test_repository.py"}
    found = [
        f"{path.relative_to(ROOT)}:{number}: {line.strip()[:100]}"
        for path, text in texts()
        if path not in allowed
        for number, line in enumerate(text.splitlines(), 1)
        if (match := machine.search(line)) and not match[0].startswith("/tmp/constraints")
    ]
    assert not found, "\n".join(found)


def test_no_file_of_code_is_a_hall():
    long = {
        str(path.relative_to(ROOT)): lines
        for path, text in texts()
        if path.suffix == ".py" and (lines := text.count("\n")) > 500
    }
    assert not long, f"files of more than 500 lines: {long}; make rooms of them"


def test_every_python_file_begins_with_what_it_is_for():
    silent = [
        str(path.relative_to(ROOT))
        for path, text in texts()
        if path.suffix == ".py" and path.is_relative_to(ROOT / "smdown") and not text.startswith('"""')
    ]
    assert not silent


def test_every_room_has_a_small_door():
    for door in sorted((ROOT / "smdown").glob("*/__init__.py")):
        code = door.read_text(encoding="utf-8")
        assert "__all__" in code, door
        assert len(re.findall(r'^\s*"[A-Za-z_]+"|,\s*"[A-Za-z_]+"|\["[A-Za-z_]+"', code, re.MULTILINE)) <= 12, door
        assert not re.search(r"^(def|class|for|if(?! TYPE_CHECKING:)|while) ", code, re.MULTILINE), f"{door} has logic"


@pytest.mark.parametrize("path", PROFILES, ids=lambda p: p.stem)
def test_every_profile_loads(path, monkeypatch):
    monkeypatch.setenv("SMDOWN_SCHEDULER", "tcp://127.0.0.1:8786")
    monkeypatch.setenv("SMDOWN_IMAGE", "smdown:test")
    assert path.stem.startswith(load_profile(path).cluster.kind)


def test_the_local_profile_is_the_default_one_written_out():
    assert load_profile(ROOT / "cluster" / "profiles" / "local.yaml") == load_profile(None)


def test_the_version_is_one_and_in_the_changelog():
    assert re.fullmatch(r"\d+\.\d+\.\d+", smdown.__version__)
    assert f"## [{smdown.__version__}]" in (ROOT / "CHANGELOG.md").read_text(encoding="utf-8")


def test_every_cube_says_its_layout():
    assert layout.SCHEMA == 2, "a new layout needs a reader of the old one, and a line in the changelog"


def test_the_constraints_pin_everything_that_the_project_names():
    project = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf-8"))
    groups = project["dependency-groups"]
    named = [*project["project"]["dependencies"], *groups["test"], *groups["lint"]]
    pinned = {
        line.partition("==")[0].lower().replace("_", "-")
        for line in (ROOT / "constraints.txt").read_text(encoding="utf-8").splitlines()
        if "==" in line and not line.startswith("#")
    }
    wanted = {re.split(r"[\[<>=!~ ]", name)[0].lower().replace("_", "-") for name in named}
    assert wanted <= pinned, f"not pinned: {sorted(wanted - pinned)}; renew constraints.txt"


def test_the_check_that_lands_changes_can_run():
    run = ROOT / ".ci" / "run"
    assert os.access(run, os.X_OK)
    assert "set -euo pipefail" in run.read_text(encoding="utf-8")
