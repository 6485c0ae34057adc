"""NASA's archive through the earthaccess package: logging in, and which SMAP granules there are.

Needs the extra ``fetch``. Login with a token and search are tested against a server on loopback that speaks the same
protocol; NASA's own servers, and logins by name and password, which need theirs, are not part of the tests.
"""

from __future__ import annotations

import logging
import re
from dataclasses import dataclass
from datetime import UTC, date, datetime, time
from typing import Any
from urllib.parse import urlsplit

from smdown.errors import ConfigError, InputError
from smdown.sources.context import IngestContext
from smdown.sources.places import remote_errors

_LOGIN = (
    "set EARTHDATA_TOKEN, or EARTHDATA_USERNAME and EARTHDATA_PASSWORD, or write your login for "
    "urs.earthdata.nasa.gov into ~/.netrc"
)
_NAME = re.compile(r"[\w.-]+\.h5")
_UNITS = {"B": 1.0, "KB": 1e3, "MB": 1e6, "GB": 1e9}


@dataclass(frozen=True)
class Product:
    """A collection of NASA's.

    Parameters
    ----------
    short_name, version : str
        As the archive names it.
    """

    short_name: str
    version: str

    def __str__(self) -> str:
        return f"{self.short_name} version {self.version}"


@dataclass(frozen=True)
class Granule:
    """One file of a product.

    Parameters
    ----------
    name, url : str
        The file.
    size_bytes : float
        As the archive states it, 0 if unknown.
    exact : bool
        Whether that is the very size, not a rounded one.
    checksum : tuple of str, optional
        Algorithm and value.
    """

    name: str
    url: str
    size_bytes: float = 0.0
    exact: bool = False
    checksum: tuple[str, str] | None = None


def log_in(system: Any = None) -> Any:
    """Log in with what the environment or ``.netrc`` holds, and return earthaccess's authentication.

    Parameters
    ----------
    system : earthaccess.system.System, optional
        The servers; NASA's by default.

    Raises
    ------
    ConfigError
        If earthaccess is not installed, no login is there, or it is refused.
    """
    try:
        import earthaccess
        from earthaccess.exceptions import LoginAttemptFailure, LoginStrategyUnavailable
    except ImportError as error:
        raise ConfigError("fetch needs earthaccess; install smdown[fetch]") from error
    logging.getLogger("earthaccess").setLevel(logging.CRITICAL)  # what it logs, the errors below say in one line
    auth = earthaccess.Auth()
    for strategy in ("environment", "netrc"):
        try:
            with remote_errors(lambda problem: f"Earthdata Login cannot be reached ({problem}); try again"):
                auth.login(strategy=strategy, system=system)
        except LoginStrategyUnavailable:
            continue
        except LoginAttemptFailure as error:
            raise ConfigError(f"Earthdata Login refused the login of the {strategy}; {_LOGIN}") from error
        return auth
    raise ConfigError(f"found no Earthdata login; {_LOGIN}")


def find_granules(product: Product, context: IngestContext, auth: Any) -> list[Granule]:
    """Return the files of a product that meet the extent and the period, by name.

    Raises
    ------
    InputError
        If the archive cannot be asked, or has none.
    """
    import earthaccess

    days = f"{context.start} to {context.end}"
    with remote_errors(lambda problem: f"NASA's catalogue cannot be asked for {product} ({problem}); try again"):
        query = earthaccess.DataGranules(auth).short_name(product.short_name).version(product.version)
        query = query.temporal(_moment(context.start, time.min), _moment(context.end, time.max))
        entries = query.bounding_box(*_box(context)).get_all()
    found = [granule for granule in map(_granule, entries) if granule is not None]
    if not found:
        raise InputError(f"got no granule of {product} from {days}; change the period, or name another product")
    return sorted(found, key=lambda granule: granule.name)


def _moment(day: str, at: time) -> datetime:
    return datetime.combine(date.fromisoformat(day), at, UTC).replace(microsecond=0)


def _box(context: IngestContext) -> tuple[float, float, float, float]:
    west, south, east, north = context.lonlat
    return max(west, -180.0), max(south, -90.0), min(east, 180.0), min(north, 90.0)


def _granule(entry: Any) -> Granule | None:
    """Return the HDF5 file of a catalogue's entry, None where it has none to download."""
    for url in entry.data_links(access="external"):
        name = urlsplit(url).path.rsplit("/", 1)[-1]
        if url.startswith(("https://", "http://")) and _NAME.fullmatch(name):
            return Granule(name, url, *_stated(entry, name))
    return None


def _stated(entry: Any, name: str) -> tuple[float, bool, tuple[str, str] | None]:
    """Return size, whether it is exact, and checksum, as the catalogue states them."""
    parts = entry["umm"].get("DataGranule", {}).get("ArchiveAndDistributionInformation", [])
    part = next((p for p in parts if p.get("Name") == name), parts[0] if len(parts) == 1 else {})
    check = part.get("Checksum") or {}
    checksum = (str(check["Algorithm"]), str(check["Value"])) if {"Algorithm", "Value"} <= check.keys() else None
    if part.get("SizeInBytes"):
        return float(part["SizeInBytes"]), True, checksum
    return float(part.get("Size") or 0.0) * _UNITS.get(str(part.get("SizeUnit")), 0.0), False, checksum
