"""Fenced blocks of Markdown files, and the command lines in them."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GUIDES = [
    path for name in ("", "cluster", "configs", "benchmarks") if (path := ROOT / name / "README.md").exists()
]  # fmt: skip
_FENCE = re.compile(r"^( *)(`{3,}|~{3,})\s*([^`\s]*)")


@dataclass(frozen=True)
class Block:
    """One fenced block.

    Parameters
    ----------
    path : Path
        Its file.
    line : int
        Line of its fence, from 1.
    language : str
        What stands behind the fence.
    text : str
        Its lines.
    """

    path: Path
    line: int
    language: str
    text: str

    @property
    def place(self) -> str:
        """File and line, as in ``README.md:6``."""
        return f"{self.path.relative_to(ROOT)}:{self.line}"


def blocks_of(path: Path) -> list[Block]:
    """Return the fenced blocks of a file; one that is not closed is an error."""
    found: list[Block] = []
    fence, start, language, indent = "", 0, "", 0
    body: list[str] = []
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
        match = _FENCE.match(line)
        if not fence and match:
            indent, fence, language, start, body = len(match[1]), match[2], match[3], number, []
        elif fence and line.strip() == fence:
            found.append(Block(path, start, language, "".join(f"{text}\n" for text in body)))
            fence = ""
        elif fence:
            body.append(line[indent:])
    assert not fence, f"{path.relative_to(ROOT)}:{start}: a block that is never closed"
    return found


def command_lines(block: Block) -> list[tuple[int, str]]:
    """Return the commands of a block, each with its line; continued lines are joined.

    In a ``console`` block commands begin with ``$``; anything else is an error, as output has blocks of its own.
    """
    found: list[tuple[int, str]] = []
    pending, first = "", 0
    for number, line in enumerate(block.text.splitlines(), block.line + 1):
        text = line.strip()
        if not pending and (not text or text.startswith("#")):
            continue
        if block.language == "console" and not pending:
            assert text.startswith("$ "), f"{block.place}: {text!r} is no command; put output into a block of `text`"
            text = text[2:].strip()
        first = first if pending else number
        pending += text.removesuffix("\\").strip() + " "
        if not text.endswith("\\"):
            found.append((first, pending.strip()))
            pending = ""
    assert not pending, f"{block.place}: the last line goes on"
    return found
