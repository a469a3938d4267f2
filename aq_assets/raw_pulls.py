"""Raw pulls of a network: its answers as they came."""

from collections.abc import Iterator
from typing import Any

import dagster as dg
import polars as pl

from aq_assets.declare import asset
from aq_assets.describe import FILES, described, title
from aq_assets.metadata import table_metadata
from aq_assets.partitions import ONE_RUN, daily_partitions, window_of
from aq_assets.stream import Progress
from aq_resources.failures import PermanentFailure, TransientFailure
from aq_resources.io_managers import AnswerStream
from aq_resources.network_client import Pull, QueueClient
from aq_resources.network_settings import NetworkConfig
from aq_resources.services import Services
from aq_resources.stores.raw_pulls import RawAnswer
from aq_science.tables.raw_pulls import RAW_PULLS
from aq_science.windows import Window

# Metadata of every day that was pulled.
PULLED_AT, UNANSWERED = "pulled_at", "unanswered"

# Answers listed in the UI; the others are counted.
_SHOWN = 20


def build_raw_pulls(config: NetworkConfig) -> dg.AssetsDefinition:
    """`<network>/raw_pulls`: every answer over the window, in as few requests as allowed."""

    @asset(
        **described(
            config,
            "raw_pulls",
            io_manager=FILES,
            kinds={"json"},
            table=RAW_PULLS,
        ),
        partitions_def=daily_partitions(config),
        backfill_policy=ONE_RUN,
        pool=config.name,
        description=(
            f"Answers of {title(config)} as they came, append-only; an answer identical to the "
            "last one is not stored again."
        ),
    )
    def raw_pulls(
        context: dg.AssetExecutionContext, services: dg.ResourceParam[Services]
    ) -> AnswerStream:
        window = window_of(context)
        tally = PullTally(window, Progress(context, window), len(config.stations))
        asked_at = services.now()
        client = services.client(config.name)
        pulls = client.pull(window)
        return AnswerStream(
            tally.answers(pulls),
            tally.metadata,
            # What `late_data` goes by: when each day was last asked for, and whether in vain.
            lambda: {
                PULLED_AT: dg.MetadataValue.timestamp(asked_at),
                UNANSWERED: tally.unanswered,
            },
            distinct=isinstance(client, QueueClient),
            stored=client.stored if isinstance(client, QueueClient) else lambda: None,
        )

    return raw_pulls


class PullTally:
    """Counts a pull's outcomes on the way to the store."""

    def __init__(self, window: Window, progress: Progress, subjects: int) -> None:
        self.window = window
        self.progress = progress
        self.subjects = max(1, subjects)
        self.requests = 0
        self.seen: list[tuple[str, str, int, int]] = []
        self.failures: dict[str, TransientFailure | PermanentFailure] = {}

    def answers(self, pulls: Iterator[Pull]) -> Iterator[RawAnswer]:
        """The answers there were; raises a failure only where nothing succeeded at all."""
        succeeded = 0
        reached: dict[Window, int] = {}
        for pull in pulls:
            self.requests += 1
            if pull.failure is not None:
                self.failures[pull.source] = pull.failure
            else:
                succeeded += 1
            if pull.answer is not None:
                answer = pull.answer
                dates = f"{answer.covers.start.date()} to {answer.covers.dates[-1]}"
                if len(self.seen) < _SHOWN:
                    self.seen.append((pull.source, dates, answer.status, len(answer.body)))
                yield answer
                part = answer.covers
                reached[part] = reached.get(part, 0) + 1
                if reached[part] == (pull.expected_answers or self.subjects):
                    self.progress(part)
        if self.failures and not succeeded:
            raise worst(self.failures)

    @property
    def unanswered(self) -> int:
        """Stations that another try may bring; a permanent failure has to be fixed first."""
        return sum(isinstance(failure, TransientFailure) for failure in self.failures.values())

    def metadata(self) -> dict[str, Any]:
        """What to show beside the materialization."""
        failed = pl.DataFrame(
            [(name, failure.message) for name, failure in sorted(self.failures.items())],
            schema={"subject": pl.String(), "failure": pl.String()},
            orient="row",
        )
        answers = pl.DataFrame(
            self.seen,
            schema={
                "subject": pl.String(),
                "days": pl.String(),
                "status": pl.Int64(),
                "characters": pl.Int64(),
            },
            orient="row",
        )
        return {
            **({"failures": table_metadata(failed)} if len(failed) else {}),
            "answers": table_metadata(answers),
            "requests": self.requests,
            "failed_subjects": len(failed),
        }


def worst(
    failures: dict[str, TransientFailure | PermanentFailure],
) -> TransientFailure | PermanentFailure:
    """One failure that speaks for all: a permanent one first, since it names what to fix."""
    ordered = sorted(
        failures.items(), key=lambda item: (not isinstance(item[1], PermanentFailure), item[0])
    )
    first = ordered[0][1]
    others = len({failure.message for failure in failures.values()}) - 1
    if not others:
        return first
    message = f"{first.message} (and {others} other failures)"
    if isinstance(first, PermanentFailure):
        return PermanentFailure(message)
    return TransientFailure(message, retry_after=first.retry_after)
