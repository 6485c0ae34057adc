"""Events of a run as JSON lines, for machines: one object an event, flushed line by line."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from datetime import UTC, datetime
from pathlib import Path
from typing import IO, Any

from smdown.errors import ConfigError
from smdown.plan import Receipt
from smdown.redact import redact_all
from smdown.runtime.outcome import Status, status_of
from smdown.runtime.tally import Tally
from smdown.runtime.watcher import Watcher

EVERY_S = 10.0


class JsonLog(Watcher):
    """Writes what happens as JSON lines; a log that cannot be written any more never ends the work.

    Parameters
    ----------
    stream : text file
        Where lines go.
    warn : callable
        Told once, in one line, if the stream takes no more.
    """

    def __init__(self, stream: IO[str], warn: Callable[[str], None]) -> None:
        self._stream: IO[str] | None = stream
        self._warn, self._last = warn, 0.0

    def write(self, event: str, **fields: Any) -> None:
        """Write one event; its texts lose their secrets."""
        if self._stream is None:
            return
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        try:
            self._stream.write(json.dumps({"time": now, "event": event} | redact_all(fields)) + "\n")
            self._stream.flush()
        except OSError as error:
            self._stream = None
            self._warn(f"the log of --log-json ends here, it cannot be written ({error.strerror or error})")

    @contextmanager
    def run(self, facts: Mapping[str, Any]) -> Iterator[None]:
        """Write that a run starts, of which these are the facts, and how it ends."""
        start = time.perf_counter()
        self.write("run_started", **facts)
        error: BaseException | None = None
        try:
            yield
        except BaseException as raised:
            error = raised
            raise
        finally:
            reason = {} if error is None else {"reason": " ".join(str(error).split()) or type(error).__name__}
            self.write("run_ended", status=status_of(error), seconds=round(time.perf_counter() - start, 3), **reason)

    def began(self, tally: Tally) -> None:
        """See :class:`Watcher`."""
        self._last = time.perf_counter()
        told = ("stage", "tiles_total", "tiles_skipped", "bytes_planned")
        self.write("stage_started", **{name: value for name, value in tally.as_json().items() if name in told})

    def advanced(self, tally: Tally, receipt: Receipt | None) -> None:
        """See :class:`Watcher`."""
        if receipt is not None:
            self.write(
                "tile_done", stage=tally.stage, key=receipt.key, pixels=receipt.pixels,
                seconds=round(receipt.seconds, 3), peak_bytes=receipt.peak_bytes,
            )  # fmt: skip
        if time.perf_counter() - self._last >= EVERY_S:
            self._last = time.perf_counter()
            self.write("stage_progress", **tally.as_json())

    def failed(self, tally: Tally, key: str, reason: str) -> None:
        """See :class:`Watcher`."""
        self.write("tile_failed", stage=tally.stage, key=key, reason=reason)

    def ended(self, tally: Tally, status: Status) -> None:
        """See :class:`Watcher`."""
        told = {name: value for name, value in tally.as_json().items() if name not in ("eta_s", "text")}
        self.write("stage_ended", status=status, **told)

    def said(self, text: str) -> None:
        """See :class:`Watcher`."""
        self.write("message", text=text)


@contextmanager
def open_log(place: str | None) -> Iterator[JsonLog | None]:
    """Open a log of events, to which lines are added; None where none is asked for.

    Parameters
    ----------
    place : str, optional
        A file, or ``-`` for the standard output.

    Raises
    ------
    ConfigError
        If the file cannot be written.
    """
    if place is None:
        yield None
        return

    def warn(text: str) -> None:
        print(f"smdown: {text}", file=sys.stderr, flush=True)  # noqa: T201

    if place == "-":
        yield JsonLog(sys.stdout, warn)
        return
    try:
        stream = Path(place).open("a", encoding="utf-8")  # noqa: SIM115 - it is closed below
    except OSError as error:
        raise ConfigError(
            f"got --log-json {place}, which cannot be written ({error.strerror}); name another"
        ) from error
    try:
        yield JsonLog(stream, warn)
    finally:
        with suppress(OSError):  # it was flushed line by line; a full disk has been told of
            stream.close()
