"""What results are made from, and whether those that are there still are: so that a rerun does nothing twice."""

from __future__ import annotations

import hashlib
import json
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

from smdown import cubes
from smdown.cubes import store
from smdown.cubes.origin import WAYS_OUT, check_origin, difference
from smdown.errors import BundleError, CubeError
from smdown.identity import fingerprint
from smdown.runlog import read_json

if TYPE_CHECKING:
    from smdown.project.project import Project

Record = dict[str, Any]
ORIGIN = "origin.json"


def of_drivers(project: Project) -> Record:
    """Return what the drivers are made from, in words: sources, their files, region, period, features."""
    config = project.config
    return {
        "sources": {n: s.model_dump(mode="json", exclude={"path"}) for n, s in project.source_configs.items()},
        "files": {name: f"{len(files)} files, {fingerprint(files)}" for name, files in project.input_files.items()},
        "extent": config.extent.model_dump(mode="json"),
        "period": config.period.model_dump(mode="json"),
        "lattice": config.lattice_identity,
        "features": config.features.model_dump(mode="json"),
    }


def of_bundle(project: Project) -> Record:
    """Return what the trained ensemble is made from, in words."""
    return of_drivers(project) | {"training": project.config.training.identity(), "layers": _layers(project)}


def of_mosaic(project: Project) -> Record:
    """Return what the map is made from, in words, the bundle apart."""
    prediction = project.config.prediction.model_dump(mode="json")
    return of_drivers(project) | {
        "layers": _layers(project), "prediction": prediction, "days": list(project.config.mapped_days),
    }  # fmt: skip


def _layers(project: Project) -> Record:
    return {name: layer.model_dump(mode="json") for name, layer in project.config.layers.items()}


def refuse_changed(project: Project, stages: Sequence[str]) -> None:
    """Refuse to start where a later stage would meet results of another configuration.

    Raises
    ------
    CubeError, BundleError
        With the difference, and the ways out.
    """
    if "features" in stages:
        for name in store.names(project.url("features")):
            check_origin(project.url("features", name), of_drivers(project))
    if "train" in stages and not bundle_stands(project):
        before = read_origin(project).get("made_from", {})
        found = difference(before, json.loads(json.dumps(of_bundle(project), default=str))) if before else ""
        if found:
            raise BundleError(
                f"got {project.bundle_url}, which was trained with another configuration or input: {found}; {WAYS_OUT}"
            )
    if "predict" in stages:
        day = project.day_identity if store.exists(project.bundle_url) else ""
        for url in filter(None, (project.mosaic_url, project.members_url)):
            check_origin(url, of_mosaic(project), day)


def read_origin(project: Project) -> Record:
    """Return what was recorded of the bundle when it was trained here; nothing where another made it."""
    return read_json(cubes.join(project.bundle_url, ORIGIN))


def write_origin(project: Project, *, baselines: bool) -> None:
    """Record what the bundle was trained from, and which bytes that gave."""
    record = {
        "fingerprint": project.bundle_identity, "project": project.config.name, "baselines": baselines,
        "made_from": of_bundle(project), "digest": project.bundle.digest, "files": _file_digests(project.bundle_url),
    }  # fmt: skip
    cubes.put(cubes.join(project.bundle_url, ORIGIN), json.dumps(record, default=str).encode())


def bundle_stands(project: Project) -> bool:
    """Whether the bundle was trained from this very configuration and input, and its files are those of then."""
    origin = read_origin(project)
    if origin.get("fingerprint") != project.bundle_identity:
        return False
    return "files" not in origin or bool(origin["files"] == _file_digests(project.bundle_url))


def bundle_digest(project: Project) -> str:
    """Return the digest of the bundle; it is only opened if its files are not those that were recorded with one."""
    origin = read_origin(project)
    if "digest" in origin and origin.get("files") == _file_digests(project.bundle_url):
        return str(origin["digest"])
    return project.bundle.digest


def _file_digests(url: str) -> dict[str, str]:
    """Return SHA-256 of the card and of every network's weights."""
    found = {name: cubes.get(cubes.join(url, name)) for name in store.names(url)}
    return {
        name: hashlib.sha256(data).hexdigest()
        for name, data in found.items()
        if data is not None and (name == "bundle.json" or name.endswith(".safetensors"))
    }


def tiles_of(project: Project, *urls: str | None, pictures: bool = False) -> int:
    """Return how many tiles maps have if each is finished and of the project's present state, else 0.

    Parameters
    ----------
    project : Project
        Whose.
    *urls : str, optional
        The cubes; None for one that is not wanted.
    pictures : bool
        Whether the quicklooks must be there too.
    """
    tiles = 0
    for url in filter(None, urls):
        try:
            cube = cubes.open_cube(url)
        except CubeError:  # whoever opens it for good says why
            return 0
        if cube.spec.fingerprint != project.mosaic_identity or not cube.complete:
            return 0
        tiles = cube.spec.tiles[0] * cube.spec.tiles[1]
    return tiles if not pictures or all(store.exists(url) for url in project.quicklook_urls) else 0


def finished(project: Project, stages: Sequence[str]) -> bool:
    """Whether no stage has tasks left. The answer may be no where looking would cost as much as beginning."""
    drivers = [url for url in map(project.url, ("sources", "features")) if store.exists(url)]
    if len(drivers) < 2 or not store.exists(project.bundle_url) or not bundle_stands(project):
        return False
    maps = (project.mosaic_url, project.members_url, project.baselines_url)
    if not tiles_of(project, *maps):
        return False
    return "evaluate" not in stages or Evaluated(project).stands("metrics", project.evaluate_job.identity)


class Evaluated:
    """What the evaluation was last made from: its figures, its ranking of drivers, and the report.

    Parameters
    ----------
    project : Project
        Whose.
    """

    def __init__(self, project: Project) -> None:
        self._project = project
        self._url = project.url("evaluation", ORIGIN)

    def stands(self, what: str, *parts: Any) -> bool:
        """Whether a result is there and was made from these parts."""
        name = "report.html" if what == "report" else f"evaluation/{what}.json"
        return read_json(self._url).get(what) == fingerprint(*parts) and store.exists(self._project.url(name))

    def mark(self, what: str, *parts: Any) -> None:
        """Record what a result was made from."""
        record = read_json(self._url) | {what: fingerprint(*parts)}
        cubes.put(self._url, json.dumps(record, indent=1).encode())
