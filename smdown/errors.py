"""Every error that a user can cause: one line that says what was got, what was wanted and what to do."""

import errno


class SmdownError(Exception):
    """Base of all errors that smdown raises on purpose; the command line prints them without a traceback."""


class ConfigError(SmdownError, ValueError):
    """A project file, profile or option that cannot be used as it stands."""


class InputError(SmdownError, ValueError):
    """An input file that is missing, unreadable or not what its configuration says."""


class GridError(SmdownError, ValueError):
    """Grids, windows or coordinate systems that do not fit each other."""


class CubeError(SmdownError, ValueError):
    """A Zarr cube that is missing, damaged, misaligned with a write, or made by another configuration."""


class BundleError(SmdownError, ValueError):
    """A model bundle that cannot be read or does not fit the project."""


class ResourceError(SmdownError, RuntimeError):
    """Work that the given cluster, memory or disk cannot hold."""


class IncompleteError(SmdownError, RuntimeError):
    """A stage that ended with failed tiles; the finished ones are kept and a rerun takes up the rest."""


def is_disk_full(error: BaseException | None) -> bool:
    """Whether an error, or what it was raised from, is a full disk or a quota that is used up."""
    full = {errno.ENOSPC, errno.EDQUOT}
    while error is not None:
        if (isinstance(error, OSError) and error.errno in full) or "No space left on device" in str(error):
            return True
        error = error.__cause__ or error.__context__
    return False


_STORES = {"aiohttp", "adlfs", "azure", "botocore", "fsspec", "gcsfs", "google", "requests", "s3fs", "urllib3"}
"""Packages whose errors are those of a store that cannot be reached or does not let one in."""


def store_problem(error: BaseException | None) -> str | None:
    """Return what a store elsewhere, or a folder without rights, has said; None of any other error."""
    rights = {errno.EACCES, errno.EPERM, errno.EROFS}
    while error is not None:
        packages = {kind.__module__.partition(".")[0] for kind in type(error).__mro__}
        if packages & _STORES or (isinstance(error, OSError) and error.errno in rights):
            return f"{type(error).__name__}: {error}"
        error = error.__cause__ or error.__context__
    return None
