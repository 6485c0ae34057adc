"""A synthetic region with its trained ensemble: the inputs of the measurements, made once and kept."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass, replace
from pathlib import Path

import torch
import yaml

from smdown import open_project
from smdown.bench.region import STAGES, settings
from smdown.grid import NestedGrid, Window
from smdown.inference import PredictJob
from smdown.networks.build import build_network
from smdown.networks.config import CNNConfig
from smdown.project import Project
from smdown.training import Bundle
from smdown.twin import make_twin


@dataclass(frozen=True)
class Size:
    """Extent of the region, in cells, and how long its record is."""

    cells: tuple[int, int] = (8, 16)
    days: int = 60


def make_project(folder: Path, size: Size) -> Project:
    """Return the project of the region, its ensemble trained a little; made once."""
    inputs = folder / "inputs"
    make_twin(inputs, size.cells, size.days, 40, 0, truth_every=10)
    path = folder / "project.yaml"
    text = yaml.safe_dump(settings(inputs), sort_keys=False)
    if not path.exists() or path.read_text() != text:
        path.write_text(text)
    for stage in STAGES:
        subprocess.run([sys.executable, "-m", "smdown.cli", stage, path, "--workdir", folder / "work"], check=True)
    return open_project(path, workdir=str(folder / "work"))


def with_larger_cnn(bundle_url: str, folder: Path) -> str:
    """Return a bundle like another whose CNN has 32 channels and six convolutions; its weights were not trained."""
    bundle = Bundle.load(bundle_url)
    card, config = bundle.card, CNNConfig(channels=32, depth=6)
    torch.manual_seed(0)
    n_sequence = len(card.sequence.drivers) if card.sequence else 0
    network = build_network(config, len(card.drivers), n_sequence, len(card.layers)).eval()
    card = card.model_copy(update={"networks": card.networks | {"cnn": config}})
    made = replace(bundle, card=card, networks=bundle.networks | {"cnn": network})
    made.save(str(folder / "larger_cnn"))
    return str(folder / "larger_cnn")


def job_on(project: Project, cells: tuple[int, int], mosaic: str) -> PredictJob:
    """Return the project's prediction of its upper left cells alone."""
    whole = project.predict_job.grid
    corner = whole.cells
    part = Window(corner.y0, corner.y0 + cells[0], corner.x0, corner.x0 + cells[1])
    return replace(
        project.predict_job, grid=NestedGrid(whole.lattice, part, whole.ratio), mosaic_url=mosaic, members_url=None
    )


def from_sources(job: PredictJob) -> PredictJob:
    """Return the same job, blind to the stored drivers: every tile resamples its own."""
    return replace(job, spec=replace(job.spec, features_url=job.mosaic_url + ".none"))
