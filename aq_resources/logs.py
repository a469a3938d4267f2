"""Logs as lines of JSON, by setting, with the run, network and partition that they are about.

Dagster's own servers write JSON by their option `--log-format json`, with structlog; so does this,
with the same names (`event`, `level`, `timestamp`, `logger`), and one reader understands all.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator, Mapping, MutableMapping
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, Literal, Protocol

from pydantic import Field
from pydantic_settings import SettingsConfigDict

from aq_resources.networks import known_networks
from aq_resources.settings import EnvironmentSettings

if TYPE_CHECKING:
    import structlog

_PARTITION = "dagster/partition"
_FIRST, _LAST = "dagster/asset_partition_range_start", "dagster/asset_partition_range_end"
# What a line of the API's requests has for its arguments, in uvicorn's order.
_ACCESS_LOG = "uvicorn.access"
_ACCESS = ("client", "method", "path", "http_version", "status")

# Of the run that this process executes: its threads write of it too.
_RUN: dict[str, str] = {}


class LogSettings(EnvironmentSettings):
    """The form of logs."""

    model_config = SettingsConfigDict(env_prefix="AQ_LOG_", env_ignore_empty=True)

    format: Literal["text", "json"] = Field("text", description="`json`: a line is an object")

    @property
    def as_json(self) -> bool:
        """Whether lines are objects."""
        return self.format == "json"


class JsonHandler(logging.StreamHandler[Any]):
    """Writes lines of JSON to standard error, of loggers that have no handler of their own."""

    def __init__(self) -> None:
        super().__init__()
        self.setFormatter(json_formatter())
        self.addFilter(_has_no_other_handler)


def configure_logs(settings: LogSettings | None = None) -> None:
    """Let this process log as the settings say (default: the environment's); twice does no harm."""
    if not (settings or LogSettings()).as_json:
        return
    root = logging.getLogger()
    if not any(isinstance(handler, JsonHandler) for handler in root.handlers):
        root.addHandler(JsonHandler())
    # The root's level stays: HTTP clients tell of every address, with what is secret in it.
    logging.getLogger("aq").setLevel(logging.INFO)


def json_formatter() -> structlog.stdlib.ProcessorFormatter:
    """Makes an object of a record."""
    import structlog

    return structlog.stdlib.ProcessorFormatter(
        pass_foreign_args=True,
        foreign_pre_chain=[
            structlog.stdlib.add_logger_name,
            structlog.stdlib.add_log_level,
            structlog.processors.TimeStamper(fmt="iso", utc=True),
            _about,
        ],
        processors=[
            structlog.processors.format_exc_info,
            structlog.stdlib.ProcessorFormatter.remove_processors_meta,
            structlog.processors.JSONRenderer(default=str),
        ],
    )


class Run(Protocol):
    """What is known of a run, as Dagster has it."""

    @property
    def run_id(self) -> str:
        """Dagster's id."""

    @property
    def job_name(self) -> str:
        """Its job, whose name begins with the network's."""

    @property
    def tags(self) -> Mapping[str, str]:
        """Its tags, which have the partition or range."""


@contextmanager
def logs_of_run(run_id: str, job: str, tags: Mapping[str, str]) -> Iterator[None]:
    """Let what is logged until the block ends name this run.

    Args:
        run_id: Dagster's id.
        job: Its job, whose name begins with the network's.
        tags: Its tags, which have the partition or range.

    Yields:
        Nothing.
    """
    _RUN.update(_about_run(run_id, job, tags))
    try:
        yield
    finally:
        _RUN.clear()


def of_run(run: Run) -> dict[str, str]:
    """A run's id, job, network and partition."""
    return _about_run(run.run_id, run.job_name, run.tags)


def _about_run(run_id: str | None, job: str | None, tags: Mapping[str, str]) -> dict[str, str]:
    found = {"run_id": run_id, "job": job, "network": _network(job, "_")}
    first, last = tags.get(_FIRST), tags.get(_LAST)
    found["partition"] = tags.get(_PARTITION) or (f"{first}...{last}" if first and last else None)
    return {name: value for name, value in found.items() if value}


def _network(name: str | None, separator: str) -> str | None:
    first = (name or "").partition(separator)[0]
    return first if first in known_networks() else None


def _about(
    _logger: object, _method: str, event: MutableMapping[str, Any]
) -> MutableMapping[str, Any]:
    """What the line is about: Dagster's note of it, the run of this process, or a request."""
    record: logging.LogRecord = event["_record"]
    arguments = event.pop("positional_args", ())
    note: Mapping[str, Any] | None = getattr(record, "dagster_meta", None)
    if note is not None:
        event["event"] = note["orig_message"]
        event.update(_about_run(note["run_id"], note["job_name"], note["job_tags"]))
        if step := note["step_key"]:
            event["step"] = step
            # Assets of several networks may be in one run: the step is one's alone.
            if network := _network(step, "__"):
                event["network"] = network
        return event
    event.update(_RUN)
    if record.name == _ACCESS_LOG and isinstance(arguments, tuple):
        event.update(zip(_ACCESS, arguments, strict=False))
    return event


def _has_no_other_handler(record: logging.LogRecord) -> bool:
    """Dagster gives its loggers handlers and lets them hand on all the same."""
    logger: logging.Logger | None = logging.getLogger(record.name)
    while logger is not None and logger.parent is not None:
        if logger.handlers:
            return False
        logger = logger.parent
    return True
