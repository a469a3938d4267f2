"""Two commits of this project side by side: the one that is checked out here, and another."""

from __future__ import annotations

import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

from benchmarks.common import clean_environment

HERE = Path(__file__).resolve().parents[1]


@dataclass(frozen=True)
class Side:
    """One commit's source tree, run by this environment's interpreter and packages."""

    name: str
    root: Path

    @property
    def environment(self) -> dict[str, str]:
        """The environment in which this tree's modules are the ones that are imported."""
        return {**clean_environment(), "PYTHONPATH": str(self.root)}


@contextmanager
def both_sides(revision: str) -> Iterator[tuple[Side, Side]]:
    """The tree of `revision` in a folder of its own until the block ends, and this one."""
    with tempfile.TemporaryDirectory(prefix="aq-commit-") as folder:
        other = Path(folder) / "tree"
        _git("worktree", "add", "--detach", "--quiet", str(other), revision)
        try:
            yield Side(revision, other), Side("this tree", HERE)
        finally:
            _git("worktree", "remove", "--force", str(other))


def _git(*arguments: str) -> None:
    subprocess.run(["git", "-C", str(HERE), *arguments], check=True)  # noqa: S607  # as found
