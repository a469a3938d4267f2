"""Dagster's records of runs: whether they can be read, and what to do where they cannot.

`aq doctor` reads the SQLite databases of our own home itself. What else an operator's DAGSTER_HOME
names is opened by Dagster, in a process of its own (`python -m aq_platform.records`), since an
import of Dagster takes longer than all other checks together.
"""

from __future__ import annotations

import os
import sqlite3
import subprocess
import sys
from collections.abc import Iterator
from contextlib import closing, contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Self

from aq_resources.failures import PermanentFailure, PlatformFailure, SettingsError
from aq_resources.project import PROJECT_ROOT

if TYPE_CHECKING:
    from aq_resources.settings import Settings

# Exit code of a finding, which no traceback ends with.
_FOUND = 3
# Dagster's databases below DAGSTER_HOME, and a question that each answers at once.
_RUNS = "history/runs.db"
_QUESTIONS = {
    _RUNS: ("runs", "SELECT count(*) FROM runs"),
    "history/runs/index.db": ("event_logs", "SELECT max(id) FROM event_logs"),
}
_BUSY_SECONDS = 10.0


@dataclass(frozen=True)
class RecordsCheck:
    """A look at the records; in a process that is under way where Dagster has to open them."""

    process: subprocess.Popen[str] | None

    @classmethod
    @contextmanager
    def under_way(cls) -> Iterator[Self]:
        """Look at the records that the environment's settings name, until the block ends."""
        if not os.environ.get("DAGSTER_HOME"):
            yield cls(None)
            return
        paths = [str(PROJECT_ROOT), os.environ.get("PYTHONPATH")]
        with subprocess.Popen(  # noqa: S603
            [sys.executable, "-m", __name__],
            # The same code, wherever this process has it from.
            env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
            stdout=subprocess.PIPE,
            text=True,
        ) as process:
            try:
                yield cls(process)
            finally:
                # An early end has not waited for it.
                process.kill()

    def result(self, settings: Settings) -> str:
        """What was found, once it is.

        Args:
            settings: The environment's.

        Raises:
            PermanentFailure: The records cannot be read; the message says what to fix.
            RuntimeError: A defect, of which standard error has the traceback.
        """
        if self.process is None:
            return _recorded(_count_own_runs(settings.dagster_home))
        said, _ = self.process.communicate()
        if self.process.returncode == _FOUND:
            raise PermanentFailure(said.strip())
        if self.process.returncode:
            raise RuntimeError(f"{__name__} ended with {self.process.returncode}")
        return said.strip()


def _count_own_runs(home: Path) -> int:
    """The number of runs in a home of ours."""
    found: dict[str, int] = {}
    for name, (table, question) in _QUESTIONS.items():
        path = home / name
        if not path.exists():
            # Nothing has run yet: whoever opens the instance makes it.
            continue
        try:
            with closing(sqlite3.connect(path, timeout=_BUSY_SECONDS)) as database:
                made = "SELECT 1 FROM sqlite_master WHERE name = ?"
                if database.execute(made, [table]).fetchone():
                    (found[name],) = database.execute(question).fetchone()
        except sqlite3.Error as error:
            raise PermanentFailure(records_failure(str(error), home)) from None
    return found.get(_RUNS, 0)


def _recorded(runs: int) -> str:
    return f"{runs} runs recorded"


def count_runs(settings: Settings) -> int:
    """The number of runs in the records, all of whose databases are read."""
    from aq_platform.instance import open_instance

    with open_instance(settings) as instance:
        # So that the database of all runs' events is read as well.
        instance.event_log_storage.get_concurrency_keys()
        return instance.get_runs_count()


def records_failure(reason: str, home: Path | None = None) -> str:
    """What to do where Dagster's records could not be kept, for what their database said."""
    home = home or Path(os.environ.get("DAGSTER_HOME", "DAGSTER_HOME"))
    if path := _damaged(home):
        return (
            f"{path}, of Dagster's records of runs, is damaged. Stop everything and restore {home} "
            "from a backup, or move it away: Dagster then begins new records, and raw pulls, "
            "readings and tables stay as they are."
        )
    return (
        f"Dagster's records of runs cannot be kept: {reason}. Free space in DAGSTER_HOME, or see "
        "that its database is up; then run this again."
    )


def _damaged(home: Path) -> Path | None:
    """The first SQLite database of a DAGSTER_HOME that is not whole."""
    for path in sorted(home.rglob("*.db")):
        try:
            with closing(sqlite3.connect(path)) as database:
                whole = database.execute("PRAGMA quick_check(1)").fetchone() == ("ok",)
        except sqlite3.OperationalError:
            # Locked, or gone by now.
            continue
        except sqlite3.DatabaseError:
            whole = False
        if not whole:
            return path
    return None


def database_failure(error: BaseException | None) -> str | None:
    """What the database of Dagster's instance said, where that is behind the error."""
    # Not imported for this: an error of it can only come where it has been.
    known = sys.modules.get("sqlalchemy.exc")
    while known is not None and error is not None:
        if isinstance(error, known.DBAPIError):
            return " ".join(str(error.orig).split())
        error = error.__cause__ or error.__context__
    return None


def main() -> None:
    """Print what is found of the records."""
    from aq_resources.settings import Settings

    try:
        found = _recorded(count_runs(Settings()))
    except (PlatformFailure, SettingsError, OSError) as error:
        found, code = str(error), _FOUND
    except Exception as error:
        if (reason := database_failure(error)) is None:
            raise
        found, code = records_failure(reason), _FOUND
    else:
        code = 0
    sys.stdout.write(found)
    sys.exit(code)


if __name__ == "__main__":
    main()
