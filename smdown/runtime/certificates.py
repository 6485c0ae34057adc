"""Certificates of a cluster of one's own: an authority made for it alone, and one certificate for all its members."""

from __future__ import annotations

import os
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import TYPE_CHECKING

from smdown.errors import ConfigError
from smdown.runtime.security import AUTHORITY, CERTIFICATE, KEY

if TYPE_CHECKING:
    from cryptography.hazmat.primitives.asymmetric.ec import EllipticCurvePrivateKey
    from cryptography.x509 import Certificate, KeyUsage


def make_certificates(folder: Path, days: int = 365) -> Path:
    """Write the files that scheduler, workers and clients of a cluster need.

    The authority's own key is forgotten, so nobody can make a further certificate; whoever has the folder belongs to
    the cluster, nobody else can connect.

    Parameters
    ----------
    folder : Path
        Made readable for its owner alone, if it is not there; must not hold certificates. The files are in any case.
    days : int
        How long they hold.

    Returns
    -------
    Path
        The folder, absolute.

    Raises
    ------
    ConfigError
        If the folder holds certificates or cannot be written, or what makes them is not installed.
    """
    try:
        import cryptography  # noqa: F401
    except ImportError as error:
        raise ConfigError('making certificates needs cryptography; pip install "smdown[cluster]"') from error
    home = folder.expanduser().absolute()
    if any((home / name).exists() for name in (AUTHORITY, CERTIFICATE, KEY)):
        raise ConfigError(f"got --out {folder}, which holds certificates; name a new folder, or remove them")
    try:
        made = _made(days)
    except OverflowError as error:
        raise ConfigError(f"got --days {days}, which no calendar holds; name fewer") from error
    try:
        if not home.is_dir():  # the permissions of one that is there are its owner's affair
            home.mkdir(mode=0o700, parents=True)
        for name, content in made.items():
            _write_private(home / name, content)
    except OSError as error:
        raise ConfigError(f"got --out {folder}, which cannot be written ({error}); name another folder") from error
    return home


def advice(home: Path, days: int) -> str:
    """Return what to do with a folder of certificates."""
    files = f"--tls-ca-file {home / AUTHORITY} --tls-cert {home / CERTIFICATE} --tls-key {home / KEY}"
    return (
        f"wrote {home}: ca.pem, cert.pem, key.pem; they hold {days} days\n"
        "Whoever has these files belongs to the cluster. Copy them to every machine, at the same path.\n"
        f"In a profile:   tls: {home}\n"
        f"Or by hand:     dask scheduler --protocol tls {files}\n"
        f"                dask worker tls://SCHEDULER:8786 --nthreads 1 {files}"
    )


def _made(days: int) -> dict[str, bytes]:
    from cryptography.hazmat.primitives import serialization
    from cryptography.hazmat.primitives.asymmetric import ec

    authority_key, key = (ec.generate_private_key(ec.SECP256R1()) for _ in range(2))
    authority = _signed("smdown cluster authority", authority_key, None, authority_key, days)
    certificate = _signed("smdown cluster member", key, authority, authority_key, days)
    pem = serialization.Encoding.PEM
    private = key.private_bytes(pem, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    return {AUTHORITY: authority.public_bytes(pem), CERTIFICATE: certificate.public_bytes(pem), KEY: private}


def _signed(
    name: str,
    key: EllipticCurvePrivateKey,
    issuer: Certificate | None,
    issuer_key: EllipticCurvePrivateKey,
    days: int,
) -> Certificate:
    """Return a certificate; of an authority, which signs itself, where there is no issuer."""
    from cryptography import x509
    from cryptography.hazmat.primitives import hashes
    from cryptography.x509.oid import NameOID

    subject = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, name)])
    now = datetime.now(UTC)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject if issuer is None else issuer.subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(hours=1))  # clocks of a cluster differ
        .not_valid_after(now + timedelta(days=days))
        .add_extension(x509.BasicConstraints(ca=issuer is None, path_length=0 if issuer is None else None), True)
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(issuer_key.public_key()), False)
        .add_extension(_usage(signs=issuer is None), True)
    )
    return builder.sign(issuer_key, hashes.SHA256())


def _usage(*, signs: bool) -> KeyUsage:
    from cryptography import x509

    return x509.KeyUsage(
        digital_signature=not signs, content_commitment=False, key_encipherment=False, data_encipherment=False,
        key_agreement=not signs, key_cert_sign=signs, crl_sign=signs, encipher_only=False, decipher_only=False,
    )  # fmt: skip


def _write_private(path: Path, content: bytes) -> None:
    """Write a file that only its owner can read, from its first byte on."""
    with os.fdopen(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb") as out:
        out.write(content)
