"""A project whose command a launcher started several times."""

from __future__ import annotations

from pathlib import Path

import pytest

from smdown import open_project
from smdown.errors import ConfigError

DEMO = Path(__file__).parents[2] / "configs" / "demo.yaml"
SECOND = {"RANK": "1", "LOCAL_RANK": "1", "WORLD_SIZE": "2", "MASTER_ADDR": "127.0.0.1", "MASTER_PORT": "1"}


def test_only_training_runs_in_several_processes(monkeypatch, tmp_path):
    for name, value in SECOND.items():
        monkeypatch.setenv(name, value)
    project = open_project(DEMO, workdir=str(tmp_path / "work"))
    for stages in (("ingest",), ("train", "predict")):
        with pytest.raises(ConfigError, match="in 2 processes of torchrun, each of which would do all of it"):
            project.run(stages)
    assert not (tmp_path / "work").exists()


def test_what_training_runs_on_and_logs_is_not_of_the_bundles_identity():
    plain = open_project(DEMO).config.training
    logged = open_project(
        DEMO, overrides=["training.tensorboard=true", "training.keep_checkpoints=true"]
    ).config.training
    assert logged.identity() == plain.identity()
    halved = open_project(DEMO, overrides=["training.precision=bf16-mixed"]).config.training
    assert halved.identity() != plain.identity()
