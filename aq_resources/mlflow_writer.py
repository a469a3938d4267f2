"""The process that writes to MLflow: `python -m aq_resources.mlflow_writer FOLDER SECONDS`.

`order.json` in the folder says what to write and where, `artifacts` holds the files; `outcome.json`
says what came of it. Nothing else of the platform imports MLflow.
"""

from __future__ import annotations

import json
import signal
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from datetime import UTC, datetime
from itertools import islice
from pathlib import Path
from typing import TYPE_CHECKING, Any

from filelock import FileLock

if TYPE_CHECKING:
    from mlflow import MlflowClient
    from mlflow.entities import Run

SQLITE = "sqlite:///"
# After it should have been ended.
GRACE_SECONDS = 5.0
CHAMPION = "champion"
DAY = "day"
NETWORK = "network"
# What MLflow takes in one request.
_METRICS, _PARAMETERS = 1000, 100
# More than the days of a century, and less than the most that it takes.
_VERSIONS = 100_000
_ANY_DAY = "9999-12-31"
# MLflow's longest parameter and tag.
_LONGEST = 5000

Order = Mapping[str, Any]


class Writer:
    """Writes the runs of one order into its experiment."""

    def __init__(self, client: MlflowClient, order: Order) -> None:
        self.client = client
        self.order = order
        self.experiment = self._experiment()

    def _experiment(self) -> str:
        from mlflow.exceptions import MlflowException

        name = self.order["experiment"]
        found = self.client.get_experiment_by_name(name)
        if found is None:
            try:
                created: str = self.client.create_experiment(name, self.order["artifact_location"])
            except MlflowException:
                # Another process may have been first.
                found = self.client.get_experiment_by_name(name)
                if found is None:
                    raise
            else:
                return created
        return str(found.experiment_id)

    def write(self, folder: Path) -> str:
        """Write all runs, the newest with its files and as versions of the models; its id."""
        newest, *others = self.order["runs"]
        earlier = self._of_day(newest[DAY])
        run = self._write_run(newest, folder)
        for parameter, tags in self.order["models"].items():
            self._register(run, parameter, {**tags, DAY: newest[DAY]})
        self._replace(earlier)
        for fit in others:
            earlier = self._of_day(fit[DAY])
            self._write_run(fit, None)
            self._replace(earlier)
        run_id: str = run.info.run_id
        return run_id

    def _of_day(self, day: str) -> list[Run]:
        return list(self.client.search_runs([self.experiment], f"tags.{DAY} = '{day}'"))

    def _write_run(self, fit: Mapping[str, Any], folder: Path | None) -> Run:
        from mlflow.entities import Metric, Param

        day = fit[DAY]
        own = {DAY: day, NETWORK: self.order[NETWORK]}
        run = self.client.create_run(
            self.experiment, run_name=day, tags={**self.order["tags"], **own}
        )
        run_id = run.info.run_id
        at = int(datetime.fromisoformat(day).replace(tzinfo=UTC).timestamp() * 1000)
        parameters = {DAY: day, **fit["parameters"]}
        for some in _batches(parameters, _PARAMETERS):
            self.client.log_batch(run_id, params=[Param(k, v[:_LONGEST]) for k, v in some])
        for some in _batches(fit["metrics"], _METRICS):
            self.client.log_batch(run_id, metrics=[Metric(k, v, at, 0) for k, v in some])
        if folder is not None:
            self.client.log_artifacts(run_id, str(folder))
        self.client.set_terminated(run_id)
        return run

    def _register(self, run: Run, parameter: str, tags: Mapping[str, str]) -> None:
        """A version of the parameter's model, and the alias on the one that serves."""
        from mlflow.exceptions import MlflowException

        name = f"{self.order[NETWORK]}.{parameter}"
        try:
            self.client.get_registered_model(name)
        except MlflowException:
            self.client.create_registered_model(name)
        self.client.create_model_version(
            name,
            f"{run.info.artifact_uri}/{parameter}",
            run.info.run_id,
            tags={k: v[:_LONGEST] for k, v in tags.items()},
        )
        until = self.order["models_until"] or _ANY_DAY
        versions = self.client.search_model_versions(f"name = '{name}'", max_results=_VERSIONS)
        serving = [v for v in versions if v.tags.get(DAY, _ANY_DAY) <= until]
        if serving:
            champion = max(serving, key=lambda v: (v.tags[DAY], int(v.version)))
            self.client.set_registered_model_alias(name, CHAMPION, champion.version)
        else:
            self.client.delete_registered_model_alias(name, CHAMPION)

    def _replace(self, earlier: list[Run]) -> None:
        """Take out runs of a day that was recorded anew, with their versions of the models."""
        for run in earlier:
            run_id = run.info.run_id
            for version in self.client.search_model_versions(f"run_id = '{run_id}'"):
                self.client.delete_model_version(version.name, version.version)
            self.client.delete_run(run_id)


def _batches(values: Mapping[str, Any], size: int) -> Iterator[list[tuple[str, Any]]]:
    items = iter(values.items())
    while some := list(islice(items, size)):
        yield some


@contextmanager
def _alone(uri: str) -> Iterator[None]:
    """One writer of a SQLite file at once: two that make its tables break each other's work."""
    if not uri.startswith(SQLITE):
        yield
        return
    path = Path(uri.removeprefix(SQLITE))
    path.parent.mkdir(parents=True, exist_ok=True)
    with FileLock(f"{path}.lock"):
        yield


def carry_out(order: Order, folder: Path) -> str:
    """Write what the order says, or only ask where it has no runs; where it is found, in words."""
    from mlflow import MlflowClient

    uri = order["uri"]
    with _alone(uri):
        client = MlflowClient(uri, uri)
        if "runs" not in order:
            client.search_experiments(max_results=1)
            return f"MLflow at {uri} answers"
        writer = Writer(client, order)
        run_id = writer.write(folder)
    if uri.startswith("http"):
        return f"{uri}/#/experiments/{writer.experiment}/runs/{run_id}"
    return f"run {run_id} in {uri}"


def main() -> None:
    """Carry out the order in the folder that the command line names."""
    folder, seconds = Path(sys.argv[1]), float(sys.argv[2])
    # Whoever waits for this process may be killed before it can end it.
    signal.setitimer(signal.ITIMER_REAL, seconds + GRACE_SECONDS)
    order = json.loads((folder / "order.json").read_text("utf-8"))
    try:
        outcome = {"found_at": carry_out(order, folder / "artifacts")}
    except Exception as error:  # noqa: BLE001 (MLflow raises what its stores and libraries do)
        first = (str(error).strip().splitlines() or [""])[0]
        outcome = {"error": f"{type(error).__name__}: {first}"}
    (folder / "outcome.json").write_text(json.dumps(outcome), "utf-8")


if __name__ == "__main__":
    main()
