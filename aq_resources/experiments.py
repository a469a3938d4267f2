"""A record of experiments beside the stores: what was fitted, with which settings, and how it did.

Nothing here decides or is read back: forecasts are made from the object store. So a record that
cannot be written is a warning, and costs the fit of a day at most `LIMIT_SECONDS`.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import tempfile
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from importlib.util import find_spec
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

import polars as pl

from aq_resources.failures import PermanentFailure
from aq_resources.http.secrets import keep_secret, without_secrets
from aq_resources.mlflow_writer import SQLITE

if TYPE_CHECKING:
    from aq_science.forecasting.fit_record import FitRecord

# Importing MLflow and making its database take 6 s of CPU, and a further day of a range 0.05 s: six
# times as long on a machine that is very busy.
LIMIT_SECONDS = 120.0
_SECONDS_A_DAY = 2.0
_OFF = "AQ_MLFLOW_TRACKING_URI is not set."
_LOGINS = ("MLFLOW_TRACKING_PASSWORD", "MLFLOW_TRACKING_TOKEN")
# Of the process that writes. MLflow's own defaults wait for minutes.
_PATIENCE = {
    "MLFLOW_HTTP_REQUEST_TIMEOUT": "10",
    "MLFLOW_HTTP_REQUEST_MAX_RETRIES": "1",
    "MLFLOW_ARTIFACT_UPLOAD_DOWNLOAD_TIMEOUT": "30",
}
_QUIET = {
    "MLFLOW_DISABLE_TELEMETRY": "true",
    "DO_NOT_TRACK": "true",
    "MLFLOW_ENABLE_ARTIFACTS_PROGRESS_BAR": "false",
    "MLFLOW_LOGGING_LEVEL": "ERROR",
}


class RecordError(Exception):
    """The record was not written; says why, and what to do."""


class ExperimentLog(Protocol):
    """Where fits are recorded."""

    @property
    def on(self) -> bool:
        """Whether anything is recorded; where not, no one has to put a record together."""

    def record(
        self,
        network: str,
        fits: Sequence[FitRecord],
        tables: Mapping[str, pl.DataFrame],
        tags: Mapping[str, str],
    ) -> str:
        """Record fits of a network; a day recorded before is replaced.

        Args:
            network: Its name.
            fits: By day, in any order.
            tables: The newest day's models, by path of their file (.csv, .parquet). Those in the
                folder of a parameter become a version of the model `<network>.<parameter>`,
                whose champion is the version that serves.
            tags: What else is to be known of each.

        Returns:
            Where the newest is found.

        Raises:
            RecordError: it could not be written, for whatever reason.
        """

    def examine(self) -> str:
        """What a record would find, in words.

        Raises:
            PermanentFailure: it could not be written.
        """


class NoExperiments:
    """Nothing is recorded."""

    on = False

    def record(self, *_: object, **__: object) -> str:
        raise RecordError(_OFF)

    def examine(self) -> str:
        raise PermanentFailure(_OFF)


@dataclass(frozen=True)
class MlflowExperiments:
    """MLflow, by its server's address or a SQLite file: an experiment a network, a run a day.

    MLflow is imported by a process of its own, which ends within the limit: its 2,000 modules,
    threads and settings of logging stay out of the one that fits.
    """

    uri: str
    models_until: date | None = None
    limit_seconds: float = LIMIT_SECONDS
    on = True

    def record(
        self,
        network: str,
        fits: Sequence[FitRecord],
        tables: Mapping[str, pl.DataFrame],
        tags: Mapping[str, str],
    ) -> str:
        newest_first = sorted(fits, key=lambda fit: fit.day, reverse=True)
        newest = newest_first[0]
        order = {
            "experiment": f"{network}/forecast_models",
            "network": network,
            "artifact_location": self._artifacts(network),
            "tags": dict(tags),
            "runs": [
                {
                    "day": fit.day.isoformat(),
                    "parameters": dict(fit.parameters),
                    "metrics": dict(fit.metrics),
                }
                for fit in newest_first
            ],
            "models_until": self.models_until and self.models_until.isoformat(),
            "models": {parameter: dict(served) for parameter, served in newest.served.items()},
        }
        return self._write(order, tables)

    def examine(self) -> str:
        try:
            return self._write({}, {})
        except RecordError as error:
            raise PermanentFailure(str(error)) from None

    def _artifacts(self, network: str) -> str | None:
        """Beside a SQLite file: MLflow would use the working folder. A server has its own place."""
        if not self.uri.startswith(SQLITE):
            return None
        return str(Path(self.uri.removeprefix(SQLITE)).parent / "mlflow-artifacts" / network)

    def _write(self, order: Mapping[str, Any], tables: Mapping[str, pl.DataFrame]) -> str:
        if find_spec("mlflow") is None:
            raise RecordError(
                "AQ_MLFLOW_TRACKING_URI is set and MLflow is not installed: pip install "
                "'.[mlflow]', or take the setting out."
            )
        further_days = max(0, len(order.get("runs", ())) - 1)
        try:
            with tempfile.TemporaryDirectory(prefix="aq-experiments-") as name:
                folder = Path(name)
                for path, table in tables.items():
                    _store(table, folder / "artifacts" / path)
                (folder / "order.json").write_text(json.dumps({"uri": self.uri, **order}), "utf-8")
                return self._outcome(folder, self.limit_seconds + further_days * _SECONDS_A_DAY)
        except OSError as error:
            raise self._failure(f"cannot be used: {error}") from error

    def _outcome(self, folder: Path, limit: float) -> str:
        command = [sys.executable, "-m", "aq_resources.mlflow_writer", str(folder), str(limit)]
        try:
            done = subprocess.run(  # noqa: S603
                command,
                # From where this package can be imported, installed or not.
                cwd=Path(__file__).parents[1],
                env={**_PATIENCE, **os.environ, **_QUIET, "TMPDIR": str(folder)},
                stdin=subprocess.DEVNULL,
                capture_output=True,
                text=True,
                errors="replace",
                timeout=limit,
                check=False,
            )
        except subprocess.TimeoutExpired:
            raise self._failure(f"did not take it within {limit:g} s") from None
        outcome = folder / "outcome.json"
        if not outcome.exists():
            last = done.stderr.strip().splitlines()[-1:] or [f"exit {done.returncode}"]
            raise self._failure(f"cannot be used: {last[0]}")
        said = json.loads(outcome.read_text("utf-8"))
        if "error" in said:
            raise self._failure(f"did not take it: {said['error']}")
        return str(said["found_at"])

    def _failure(self, reason: str) -> RecordError:
        for name in _LOGINS:
            keep_secret(os.environ.get(name, ""))
        return RecordError(
            without_secrets(
                f"MLflow at {self.uri} {reason}. Forecasts do without it. See that its server "
                "runs, or correct AQ_MLFLOW_TRACKING_URI; `aq doctor` tries it. To have the "
                "day recorded after all, materialize its forecast_models again."
            )
        )


def open_experiments(uri: str, models_until: date | None) -> ExperimentLog:
    """The record that `AQ_MLFLOW_TRACKING_URI` names; none where it is empty.

    With `AQ_FORECAST_MODELS_UNTIL` the champion is of that day or before, as what serves.
    """
    return MlflowExperiments(uri, models_until) if uri else NoExperiments()


def _store(table: pl.DataFrame, path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    if path.suffix == ".csv":
        table.write_csv(path)
    else:
        table.write_parquet(path, compression="zstd")
