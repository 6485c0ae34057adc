"""What is written of every epoch: a table, and TensorBoard's files where they are asked for."""

from __future__ import annotations

import csv
import io
import tempfile
from pathlib import Path
from typing import Any

from smdown import cubes
from smdown.cubes.store import is_local, local_path
from smdown.errors import ConfigError


def write_table(url: str, history: dict[str, list[float]]) -> None:
    """Write ``metrics.csv``: a row an epoch, counted from 1."""
    text = io.StringIO()
    table = csv.writer(text, lineterminator="\n")
    table.writerow(["epoch", *history])
    for epoch, row in enumerate(zip(*history.values(), strict=True), start=1):
        table.writerow([epoch, *row])
    cubes.put(cubes.join(url, "metrics.csv"), text.getvalue().encode())


class Board:
    """TensorBoard's event files of one network: written where the bundle is, or copied there at the end.

    Parameters
    ----------
    url : str
        Folder or fsspec URL.

    Raises
    ------
    ConfigError
        If TensorBoard is not installed.
    """

    def __init__(self, url: str) -> None:
        try:
            from torch.utils.tensorboard import SummaryWriter
        except ImportError as error:
            raise ConfigError(
                "got training.tensorboard, but TensorBoard is not installed; install smdown[logs], or drop it"
            ) from error
        self.url = url
        self._scratch = None if is_local(url) else tempfile.TemporaryDirectory()
        self._folder = local_path(url) if self._scratch is None else Path(self._scratch.name)
        self._open, self._seen = SummaryWriter, 0
        self._writer: Any = None

    def write(self, history: dict[str, list[float]]) -> None:
        """Write the epochs that are new; after a break those of before come again."""
        if self._writer is None:
            self._writer = self._open(str(self._folder), purge_step=1)
        for name, values in history.items():
            for epoch in range(self._seen, len(values)):
                self._writer.add_scalar(name, values[epoch], epoch + 1)
        self._seen = len(history["train"])
        self._writer.flush()

    def close(self) -> None:
        """End the files, and bring them to their place."""
        if self._writer is not None:
            self._writer.close()
        if self._scratch is not None:
            for file in sorted(self._folder.iterdir()):
                cubes.put(cubes.join(self.url, file.name), file.read_bytes())
            self._scratch.cleanup()
