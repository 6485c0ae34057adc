"""Downloading the SMAP granules that a project needs into the folders that its sources name."""

from __future__ import annotations

import glob
import shutil
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from smdown.errors import ConfigError, IncompleteError, InputError, ResourceError, SmdownError
from smdown.sources import smap_l3, smap_l4
from smdown.sources.config import BaseSource, SmapL3Config, SmapL4Config
from smdown.sources.context import IngestContext
from smdown.sources.download import download, is_whole
from smdown.sources.earthdata import Granule, Product, find_granules, log_in
from smdown.sources.files import date_of

AT_ONCE = 4
PRODUCTS = {
    ("smap_l4", "gph"): Product("SPL4SMGP", "008"),
    ("smap_l4", "aup"): Product("SPL4SMAU", "008"),
    ("smap_l3", "ease2_m09"): Product("SPL3SMP_E", "006"),
    ("smap_l3", "ease2_m36"): Product("SPL3SMP", "009"),
}
"""Newest versions of the products, by kind of source and its product or grid."""

Progress = Callable[[str, int, int], None]


@dataclass(frozen=True)
class Wanted:
    """What a source lacks.

    Parameters
    ----------
    source : str
        Its name.
    product : Product
        What it reads.
    folder : Path
        Where files go.
    granules : tuple of Granule
        All that it needs.
    missing : tuple of Granule
        Those that are not there whole.
    """

    source: str
    product: Product
    folder: Path
    granules: tuple[Granule, ...]
    missing: tuple[Granule, ...]

    @property
    def size_bytes(self) -> float:
        """Size of what is missing, as the archive states it."""
        return sum(granule.size_bytes for granule in self.missing)

    def __str__(self) -> str:
        there = len(self.granules) - len(self.missing)
        size = f", {self.size_bytes / 1e9:.2f} GB" if self.size_bytes else ""
        return (
            f"{self.source}: {len(self.granules)} files of {self.product}, {there} there already; "
            f"{len(self.missing)} to fetch{size}, into {self.folder}"
        )


def find_wanted(
    configs: Mapping[str, BaseSource],
    context: IngestContext,
    *,
    names: Sequence[str] = (),
    out: str | Path | None = None,
    version: str | None = None,
    system: Any = None,
) -> tuple[Any, list[Wanted]]:
    """Ask NASA's catalogue what SMAP sources need; nothing is downloaded.

    Parameters
    ----------
    configs : mapping
        Sources by name, their paths resolved.
    context : IngestContext
        Extent and period.
    names : sequence of str
        Some of the sources; all SMAP sources by default.
    out : path-like, optional
        Folder instead of those that the sources name; with several sources, each gets one of its name in it.
    version : str, optional
        Of the products; the newest that this package knows by default.
    system : earthaccess.system.System, optional
        The servers; NASA's by default.

    Returns
    -------
    tuple
        earthaccess's authentication, and what each source needs.

    Raises
    ------
    SmdownError
        In one line: no such source, no login, nothing found, no local folder.
    """
    chosen = _chosen(configs, names)
    folders = {name: _folder(name, config, out, len(chosen)) for name, config in chosen.items()}
    auth = log_in(system)
    needs = [(name, config, _product(config, version)) for name, config in chosen.items()]
    return auth, [_wanted(name, config, product, context, folders[name], auth) for name, config, product in needs]


def _product(config: SmapL3Config | SmapL4Config, version: str | None) -> Product:
    product = PRODUCTS[config.kind, config.product if isinstance(config, SmapL4Config) else config.lattice]
    return replace(product, version=version) if version else product


def _chosen(configs: Mapping[str, BaseSource], names: Sequence[str]) -> dict[str, SmapL3Config | SmapL4Config]:
    for name in names:
        if not isinstance(configs.get(name), SmapL3Config | SmapL4Config):
            known = [n for n, c in configs.items() if isinstance(c, SmapL3Config | SmapL4Config)]
            raise ConfigError(f"got --source {name}, which is no SMAP source; there are {', '.join(known) or 'none'}")
    found = {
        name: config
        for name, config in configs.items()
        if isinstance(config, SmapL3Config | SmapL4Config) and (not names or name in names)
    }
    if not found:
        raise ConfigError("got a project without a source of the kinds smap_l4 or smap_l3; only those are fetched")
    return found


def _folder(name: str, config: BaseSource, out: str | Path | None, count: int) -> Path:
    """Return the folder that a source's path names: itself, or the one that holds its files."""
    if out is not None:
        return Path(out) / name if count > 1 else Path(out)
    path = config.paths[0]
    if len(config.paths) > 1 or "://" in path or path.lower().endswith(".zip"):
        raise ConfigError(f"got the path {path} of the source {name}, which is no local folder; name one with --out")
    place = Path(path)
    while glob.has_magic(str(place)) or place.name.lower().endswith(smap_l3.SUFFIXES):
        place = place.parent
    return place


def _wanted(name: str, config: BaseSource, product: Product, context: IngestContext, folder: Path, auth: Any) -> Wanted:
    day_of = _l4_key if isinstance(config, SmapL4Config) else _l3_key
    newest: dict[str, Granule] = {}
    for granule in find_granules(product, context, auth):
        key = day_of(granule)
        if context.start <= key[:10] <= context.end:  # those that only touch the period's ends stay out
            newest[key] = granule
    if not newest:
        raise InputError(f"got no granule of {product} from {context.start} to {context.end}; change the period")
    granules = tuple(newest[key] for key in sorted(newest))
    return Wanted(name, product, folder, granules, tuple(g for g in granules if not is_whole(g, folder)))


def _l4_key(granule: Granule) -> str:
    return "T".join(smap_l4.stamp_of(granule))


def _l3_key(granule: Granule) -> str:
    return date_of(granule, None, "")


def fetch(auth: Any, wanted: Sequence[Wanted], progress: Progress | None = None) -> int:
    """Download what is missing, four files at once; return how many files came.

    Parameters
    ----------
    auth : earthaccess.Auth
        As :func:`find_wanted` returned it.
    wanted : sequence of Wanted
        What each source needs.
    progress : callable, optional
        Told of every file: its name, files done, files in all.

    Raises
    ------
    ResourceError
        If the disk cannot hold them.
    IncompleteError
        If some did not come; the others stay, and calling again fetches the rest.
    """
    todo = [(granule, need.folder) for need in wanted for granule in need.missing]
    for need in wanted:
        _check_room(need)
    failed: dict[str, SmdownError] = {}
    with ThreadPoolExecutor(AT_ONCE) as pool:
        tasks = {pool.submit(download, granule, folder, auth): granule.name for granule, folder in todo}
        try:
            for done, task in enumerate(as_completed(tasks), 1):
                _collect(task.exception(), tasks[task], failed)
                if progress is not None:
                    progress(tasks[task], done, len(todo))
        except BaseException:
            pool.shutdown(wait=False, cancel_futures=True)
            raise
    if failed:
        reason = next(iter(failed.values()))
        raise IncompleteError(
            f"{len(failed)} of {len(todo)} files did not come ({reason}); the others are kept, run the same again"
        )
    return len(todo)


def _collect(error: BaseException | None, name: str, failed: dict[str, SmdownError]) -> None:
    """Note what one file ended with; what is no fault of a file ends all."""
    if isinstance(error, InputError):
        failed[name] = error
    elif error is not None:
        raise error


def _check_room(need: Wanted) -> None:
    if not need.missing:
        return
    need.folder.mkdir(parents=True, exist_ok=True)
    free = shutil.disk_usage(need.folder).free
    if need.size_bytes > free:
        raise ResourceError(
            f"{need.source}: {need.size_bytes / 1e9:.1f} GB to fetch, but {need.folder} has {free / 1e9:.1f} GB free; "
            "make room, or name another folder with --out"
        )
