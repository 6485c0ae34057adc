"""Who may speak to a scheduler: off loopback only those with a certificate."""

from __future__ import annotations

import ipaddress
import ssl
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

from smdown.errors import ConfigError, ResourceError

AUTHORITY, CERTIFICATE, KEY = "ca.pem", "cert.pem", "key.pem"
"""Files of a folder of certificates: the authority, and the one certificate that it signed, with its key."""
_WAYS_OUT = (
    "make certificates (smdown cluster certs) and name their folder in the profile (tls:), or say --insecure on a "
    "network that nobody else reaches"
)


def tls_config(folder: str) -> dict[str, Any]:
    """Return Dask's settings for a folder of certificates.

    Parameters
    ----------
    folder : str
        As made by `smdown.runtime.certificates.make_certificates`.

    Returns
    -------
    dict
        All that a scheduler, a worker or a client needs; nothing unencrypted is spoken with them.

    Raises
    ------
    ConfigError
        If a file is missing or no certificate, or the certificate is over.
    """
    home = Path(folder).expanduser().absolute()
    for name in (AUTHORITY, CERTIFICATE, KEY):
        if not (home / name).is_file():
            raise ConfigError(f"got tls: {folder}, which has no {name}; make the files with smdown cluster certs")
    _check_age(home / CERTIFICATE)
    _check_fit(home)
    pair = {"cert": str(home / CERTIFICATE), "key": str(home / KEY)}
    return {
        "distributed.comm.require-encryption": True,
        "distributed.comm.default-scheme": "tls",
        "distributed.comm.tls.min-version": 1.3,
        "distributed.comm.tls.ca-file": str(home / AUTHORITY),
        **{
            f"distributed.comm.tls.{role}.{key}": value
            for role in ("scheduler", "worker", "client")
            for key, value in pair.items()
        },
    }


def _check_age(certificate: Path) -> None:
    try:
        found = ssl._ssl._test_decode_cert(str(certificate))  # type: ignore[attr-defined]  # noqa: SLF001 - no other reads a file
    except (ssl.SSLError, OSError, ValueError) as error:
        raise ConfigError(
            f"got {certificate}, which is no certificate ({error}); make it with smdown cluster certs"
        ) from error
    end = datetime.fromtimestamp(ssl.cert_time_to_seconds(found["notAfter"]), UTC)
    if end < datetime.now(UTC):
        raise ConfigError(f"got {certificate}, which ended on {end:%Y-%m-%d}; make new ones with smdown cluster certs")


def _check_fit(home: Path) -> None:
    """Refuse files of several folders; Dask would take them for a scheduler that does not answer."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    wrong = home / AUTHORITY
    try:
        context.load_verify_locations(wrong)
        wrong = home / KEY
        context.load_cert_chain(home / CERTIFICATE, wrong)
    except OSError as error:  # that of TLS is one, too
        raise ConfigError(
            f"got {wrong}, which does not belong to {CERTIFICATE} beside it or cannot be read "
            f"({error.strerror or error}); copy all files of one folder, or make new ones with smdown cluster certs"
        ) from error


def check_encrypted(address: str, tls: str | None, *, insecure: bool) -> None:
    """Refuse to speak to a scheduler on another machine without certificates, unless that is asked for.

    Parameters
    ----------
    address : str
        Of the scheduler, as in ``tcp://10.0.0.5:8786``.
    tls : str, optional
        Folder of certificates of the profile.
    insecure : bool
        The user said so.

    Raises
    ------
    ResourceError
        If whoever reaches the scheduler could run code on its workers.
    ConfigError
        If the address and the profile do not fit each other.
    """
    scheme = urlsplit(address).scheme
    if scheme == "tls" and tls is None:
        raise ConfigError(f"got {address}, but the profile names no certificates; add tls: FOLDER")
    if scheme != "tls" and tls is not None:
        raise ConfigError(f"got {address} and tls: {tls}; write the address as tls://, and start the scheduler so")
    if tls is None and not insecure and not is_loopback(address):
        raise ResourceError(f"got the scheduler {address}, which is not on this machine, without TLS; {_WAYS_OUT}")


def check_started(kind: str, tls: str | None, *, insecure: bool) -> None:
    """Refuse the same of a cluster that is about to be started with workers on other machines."""
    if tls is None and not insecure:
        raise ResourceError(
            f"got a profile of kind {kind}, whose workers are on other machines, without TLS; {_WAYS_OUT}"
        )


def is_loopback(address: str) -> bool:
    """Whether an address is one of this machine alone."""
    parts = urlsplit(address if "://" in address else f"tcp://{address}")
    if parts.scheme in {"inproc", "ucx+inproc"}:
        return True
    host = parts.hostname or ""
    if host == "localhost":
        return True
    try:
        return ipaddress.ip_address(host).is_loopback
    except ValueError:
        return False
