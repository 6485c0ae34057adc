"""What no record, log or screen may show: passwords in URLs, signatures, values of the environment's secrets."""

from __future__ import annotations

import os
import re
from collections.abc import Mapping
from functools import lru_cache
from typing import Any
from urllib.parse import quote, quote_plus

HIDDEN = "***"
SHORTEST = 6
"""Characters of a value of the environment that is hidden; a shorter one would hide ordinary words."""

_SECRET_NAME = re.compile(
    r"(?:^|[^a-z0-9])[a-z0-9]*(?:key|secret|token|password|passwd|passphrase|credential)s?(?:[^a-z0-9]|$)",
    re.IGNORECASE,
)
_MARKS = "=:@"
"""Of which one stands in whatever the patterns below find."""
_SECRET_KEY = re.compile(r"(?:secret|token|password|passwd|passphrase|credentials?|_key)$", re.IGNORECASE)
_USER_INFO = re.compile(r"([a-z][a-z0-9+.-]*://)(?:[^\s/@'\"]*:[^\s'\"]*|[^\s/@'\"]+)@", re.IGNORECASE)
_BARE_USER_INFO = re.compile(r"(?<![\w/:@])[^\s/:@'\"]+:(?!//)[^\s'\"]+@(?=[\w\[])")
"""The same of an address whose protocol was taken off."""
_QUERY = re.compile(
    r"([?&;][^=&\s'\"]*(?:sig|signature|token|key|keyid|key-id|key_id|secret|password|passwd|credential|auth|policy)s?=)"
    r"[^&#\s'\"]+",
    re.IGNORECASE,
)
_NAMED = re.compile(
    r"(\b[\w.-]*(?:secret|token|password|passwd|passphrase|api_?key|access_?key|key_id)s?=)[^\s&,;)]+", re.IGNORECASE
)
_QUOTED = re.compile(
    r"(['\"][\w.-]*(?:secret|token|password|passwd|passphrase|key|key_id)['\"]\s*:\s*['\"])[^'\"]+", re.IGNORECASE
)
_HEADER = re.compile(r"(authorization['\"]?\s*[:=]\s*['\"]?(?:(?:basic|bearer)\s+)?)[^\s'\"]+", re.IGNORECASE)


def redact(text: str, environment: Mapping[str, str] | None = None) -> str:
    """Return a text without its secrets.

    Hidden are users and passwords of URLs, values of a query that sign or open something, ``secret=...`` and its like,
    and whatever an environment variable holds whose name speaks of a key, secret, token or password.

    Parameters
    ----------
    text : str
        Anything that is to be shown or kept.
    environment : mapping, optional
        Environment variables; those of this process by default.

    Returns
    -------
    str
        The text with ``***`` in their place.
    """
    return _redact(text, _secrets(os.environ if environment is None else environment))


def redact_all(data: Any) -> Any:
    """Return plain data (dicts, lists, texts, numbers) without secrets in its texts, keys counted in.

    Texts under a key that speaks of a secret, token or password are hidden whole.
    """
    return _redact_all(data, _secrets(os.environ))


def _redact_all(data: Any, secrets: list[str]) -> Any:
    if isinstance(data, str):
        return _redact(data, secrets)
    if isinstance(data, Mapping):
        return {_redact(str(key), secrets): _redact_value(str(key), value, secrets) for key, value in data.items()}
    if isinstance(data, list | tuple):
        return [_redact_all(value, secrets) for value in data]
    return data


def _redact_value(key: str, value: Any, secrets: list[str]) -> Any:
    hidden = isinstance(value, str) and value and _SECRET_KEY.search(key)
    return HIDDEN if hidden else _redact_all(value, secrets)


def _redact(text: str, secrets: list[str]) -> str:
    for value in secrets:
        text = text.replace(value, HIDDEN)
    if not any(mark in text for mark in _MARKS):
        return text
    text = _BARE_USER_INFO.sub(f"{HIDDEN}@", _USER_INFO.sub(rf"\1{HIDDEN}@", text))
    for pattern in (_QUERY, _NAMED, _QUOTED, _HEADER):
        text = pattern.sub(rf"\1{HIDDEN}", text)
    return text


def _secrets(environment: Mapping[str, str]) -> list[str]:
    """Return the values to hide as they are and as they stand in URLs, the longest first."""
    values = {v for name, v in environment.items() if _is_secret(name) and len(v) >= SHORTEST}
    spelled = values | {quote(v, safe="") for v in values} | {quote_plus(v) for v in values}
    return sorted(spelled, key=len, reverse=True)


@lru_cache(maxsize=4096)
def _is_secret(name: str) -> bool:
    return _SECRET_NAME.search(name.replace("_", "-")) is not None
