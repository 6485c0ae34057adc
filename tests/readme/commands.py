"""What is done with a command of a guide: run on a finished demonstration, or only looked at, and why."""

from __future__ import annotations

import argparse
import os
import re
import runpy
import shlex
import subprocess
import sys
import tempfile
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path
from typing import Any
from unittest.mock import patch

import typer
from distributed.cli import dask_scheduler, dask_worker

from smdown.cli import app
from smdown.config import load_config
from smdown.runtime import load_profile
from tests.pipeline import smdown
from tests.readme.blocks import ROOT

Words = list[str]

ONLY_PARSED = {
    "make": "it makes an environment and takes minutes; `make --dry-run` knows the target",
    "pip": "it needs a network; files, extras and groups are looked up",
    "dask": "it never ends; options are parsed by Dask, and tests/places runs schedulers and workers so",
    "torchrun": "it needs GPUs; options are parsed by PyTorch and by smdown, and tests/training runs it",
    "sbatch": "it needs SLURM; the script is there, and tests/places runs it with stand-ins",
    "qsub": "it needs PBS; the script is there, and tests/places runs it with stand-ins",
    "kubectl": "it needs Kubernetes; the files are there, and tests/places validates them",
    "docker": "it needs a daemon; the files are there, and tests/places validates them",
    "pytest": "the suite runs it; the files are there",
    "git": "it needs a network",
    "ssh": "it needs another machine",
    "python": "measuring takes minutes to hours; the module parses the options itself",
}
"""Commands that are looked at and not run, with the reason."""

NOT_RUN = {
    "run": "it needs a cluster, public data or hours", "demo": "it takes minutes; the tests make a smaller one",
    "ingest": "it needs data", "features": "it needs data", "train": "it needs data", "predict": "it needs data",
    "evaluate": "it needs data", "fetch": "it needs a network", "bench": "it takes minutes", "twin": "it takes minutes",
}  # fmt: skip
"""Commands of smdown that are parsed and not run, unless they are about the finished demonstration."""


class _ParsedError(Exception):
    """A parser took the options."""


class Shell:
    """Runs or checks command lines one after another, as a shell in the folder of a finished demonstration would.

    Parameters
    ----------
    folder : Path
        Holds ``demo``; the process must be in it. A home of its own, empty, is made in it.
    """

    def __init__(self, folder: Path) -> None:
        self.home = tempfile.mkdtemp(prefix="home", dir=folder)
        self.variables: dict[str, str] = {"HOME": self.home}

    def do(self, line: str) -> str:
        """Run or check a line; return ``run``, or ``parsed`` and why it is no more.

        Raises
        ------
        AssertionError
            If no rule is for it, or it is wrong.
        """
        text = re.sub(r"\$\{?(\w+)\}?", lambda match: self.variables.get(match[1], match[0]), line)
        words = [re.sub(r"^~(?=/)", self.home, word) for word in shlex.split(text, comments=True)]
        if words[0] == "export":
            words = words[1:]
        while words and re.match(r"[A-Za-z_]\w*=", words[0]):
            name, _, value = words.pop(0).partition("=")
            self.variables[name] = re.sub(r"^~(?=/)", self.home, value)
        if not words:
            return "run"
        return self._command(words)

    def _command(self, words: Words) -> str:
        name, rest = words[0], words[1:]
        with patch.dict(os.environ, self.variables):
            if name == "smdown":
                return self._smdown(rest)
            rule = _RULES.get(name)
            assert rule is not None, f"no rule for {name!r}; write one in tests/readme/commands.py"
            rule(rest)
        return f"parsed: {ONLY_PARSED[name]}"

    def _smdown(self, words: Words) -> str:
        check_smdown(words)
        demonstration = any(word == "demo" or word.startswith("demo/") for word in words[1:])
        if words[0] in NOT_RUN and not demonstration:
            return f"parsed: {NOT_RUN[words[0]]}"
        if words[0] not in NOT_RUN and "CONFIG" in words:
            return "parsed: it names no file of its own"
        code, said, errors = smdown(*words)
        if words[0] == "plan" and said and re.search(r"the run needs about .* GiB are free", errors):
            return "run"  # the plan is made; this machine's disk is too small for the real thing
        assert code == 0, errors
        return "run"


def check_smdown(words: Words) -> None:
    """Parse a command line of smdown, without running it, and read the files of the repository that it names."""
    command, name = typer.main.get_command(app), "smdown"
    while (commands := getattr(command, "commands", None)) is not None:
        assert words, f"{name} needs a command"
        name, *words = words
        assert name in commands, f"smdown has no command {name!r}"
        command = commands[name]
    _parse(command, name, words)
    for word in words:
        if word.startswith(("configs/", "cluster/profiles/")):
            _read(ROOT / word)


def _parse(command: Any, name: str, words: Words) -> None:
    """Let a command of click, or of the one inside typer, parse its options."""
    try:
        with command.make_context(name, list(words)):
            pass
    except Exception as error:
        said = error.format_message() if hasattr(error, "format_message") else error
        raise AssertionError(f"{name}: {said}") from error


def _read(path: Path) -> None:
    assert path.is_file(), f"there is no {path.relative_to(ROOT)}"
    known = {"SMDOWN_SCHEDULER": "tls://10.0.0.5:8786", "SMDOWN_IMAGE": "image", "SMDOWN_REAL_DATA": "data"}
    with patch.dict(os.environ, known | dict(os.environ)):
        load_profile(path) if "profiles" in path.parts else load_config(path)


def _options(parse: Callable[[], object], argv: Words) -> None:
    """Run what parses its own command line, up to where it has."""
    original = argparse.ArgumentParser.parse_args

    def parse_args(self: argparse.ArgumentParser, *args: object, **named: object) -> None:
        original(self, *args, **named)  # type: ignore[arg-type]
        raise _ParsedError

    with patch.object(argparse.ArgumentParser, "parse_args", parse_args), patch.object(sys, "argv", argv):
        try:
            parse()
        except _ParsedError:
            return
        except SystemExit as end:
            raise AssertionError(f"{shlex.join(argv)} is refused ({end.code})") from end
    raise AssertionError(f"{argv[0]} parses no options")


def _python(words: Words) -> None:
    assert words[:1] == ["-m"], "python is called with -m and a module"
    if words[1] == "smdown.cli":
        check_smdown(words[2:])
        return
    assert words[1].startswith("benchmarks."), f"no rule for python -m {words[1]}"
    _options(lambda: runpy.run_module(words[1], run_name="__main__"), [words[1], *words[2:]])


def _make(words: Words) -> None:
    done = subprocess.run(["make", "--dry-run", *words], cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def _pip(words: Words) -> None:
    project = tomllib.loads((ROOT / "pyproject.toml").read_text())
    assert words[0] == "install"
    for flag, value in pairwise(words):
        if flag in ("-c", "-r"):
            assert (ROOT / value).is_file(), value
        if flag == "--group":
            assert value in project["dependency-groups"], value
    for extras in re.findall(r"\[([\w,]+)\]", " ".join(words)):
        assert set(extras.split(",")) <= set(project["project"]["optional-dependencies"]), extras


def _dask(words: Words) -> None:
    command = {"scheduler": dask_scheduler.main, "worker": dask_worker.main}[words[0]]
    for path in (Path(word) for word in words if word.endswith(".pem")):
        path.parent.mkdir(parents=True, exist_ok=True)
        path.touch()  # options that name a file are refused without it
    _parse(command, f"dask {words[0]}", words[1:])


def _torchrun(words: Words) -> None:
    from torch.distributed.run import get_args_parser

    found = get_args_parser().parse_args(words)
    _python(["-m", found.training_script, *found.training_script_args])


def _files_are_there(words: Words) -> None:
    """Every path of the repository that a command names is one."""
    for word in words:
        path = word.partition("::")[0]
        if re.match(r"(cluster|configs|tests|benchmarks)/", path):
            assert (ROOT / path).exists(), f"there is no {path}"
            if path.startswith("configs/"):
                _read(ROOT / path)


def _script(words: Words) -> None:
    assert any(word.startswith("cluster/") for word in words), "a job script of cluster/ is named"
    _files_are_there(words)


_RULES: dict[str, Callable[[Words], None]] = {
    "make": _make, "pip": _pip, "dask": _dask, "torchrun": _torchrun, "python": _python, "sbatch": _script,
    "qsub": _script, "kubectl": _files_are_there, "docker": _files_are_there, "pytest": _files_are_there,
    "git": _files_are_there, "ssh": _files_are_there,
}  # fmt: skip
