"""Files that a source is made of: single ones, and the members of zip archives; local, or behind a URL."""

from __future__ import annotations

import re
import zipfile
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import PurePosixPath

from smdown.errors import InputError
from smdown.sources.aside import SetAside
from smdown.sources.copies import local
from smdown.sources.files import READING_ERRORS
from smdown.sources.places import Place

LARGEST_BYTES = 2**31
"""Size of a member that is unpacked at most."""


@dataclass(frozen=True)
class Item:
    """One file to read: at a place, or a member of a zip archive there.

    Parameters
    ----------
    place : Place
        The file, or the archive.
    member : str, optional
        Name inside the archive.
    """

    place: Place
    member: str | None = None

    def __str__(self) -> str:
        return f"{self.place}!{self.member}" if self.member else str(self.place)

    @property
    def name(self) -> str:
        """File name without folders."""
        return PurePosixPath(self.member).name if self.member else self.place.name

    def read(self) -> bytes:
        """Return all of its bytes."""
        with local(self.place) as path:
            try:
                if self.member is None:
                    return path.read_bytes()
                with zipfile.ZipFile(path) as archive:
                    if (size := archive.getinfo(self.member).file_size) > LARGEST_BYTES:
                        raise ValueError(f"it claims {size} bytes")
                    return archive.read(self.member)
            except (zipfile.BadZipFile, *READING_ERRORS) as error:
                verb = "read" if self.member is None else "unpacked"
                raise InputError(f"got {self}, which cannot be {verb} ({error}); download it again") from error


def list_items(places: Sequence[Place], suffixes: Sequence[str], aside: SetAside) -> tuple[Item, ...]:
    """Return the files, with zip archives replaced by their members that end in one of `suffixes`.

    Raises
    ------
    InputError
        If no archive can be used; where others can, such ones are set aside.
    """
    items: list[Item] = []
    for place in places:
        if not place.name.lower().endswith(".zip"):
            items.append(Item(place))
        else:
            items += aside.attempt(place, lambda place=place: _members(place, suffixes)) or []  # type: ignore[misc]
    if not items:
        raise aside.nothing_left(f"{len(places)} archives", len(places))
    return tuple(items)


def _members(place: Place, suffixes: Sequence[str]) -> list[Item]:
    members = [n for n in safe_members(place) if n.lower().endswith(tuple(suffixes))]
    if not members:
        raise InputError(f"got {place}, which holds no {' or '.join(suffixes)} file; name the right archive")
    return [Item(place, name) for name in sorted(members)]


def safe_members(place: Place) -> list[str]:
    """Return the names in a zip archive, refusing one with names that lead outside.

    Raises
    ------
    InputError
        If the file is not a zip archive, or a name is absolute or climbs (``..``).
    """
    with local(place) as path:
        try:
            with zipfile.ZipFile(path) as archive:
                names = archive.namelist()
        except (zipfile.BadZipFile, *READING_ERRORS) as error:
            raise InputError(f"got {place}, {place.why('zip', error)}; download it again") from error
    for name in names:
        parts = PurePosixPath(name.replace("\\", "/"))
        if parts.is_absolute() or ".." in parts.parts or re.match(r"[A-Za-z]:", name):
            raise InputError(
                f"got {place}, an archive whose member {name!r} would be unpacked elsewhere; do not use it"
            )
    return [n for n in names if not n.endswith("/")]
