"""From the broker's messages to frames of the spool."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from datetime import datetime

from aq_serving.ingest.committer import Frames
from aq_serving.ingest.intake import batch_of, frames_of, microseconds, refused_whole
from aq_serving.ingest.messages import Batch, Limits, RefusedMessage, TooManyMessages
from aq_serving.ingest.mqtt.inbox import Arrived
from aq_serving.ingest.mqtt.topics import Sender, form_of_payload, sender_of_topic
from aq_serving.ingest.settings import MqttSettings


class Intake:
    """From messages to frames."""

    def __init__(
        self,
        settings: MqttSettings,
        limits: Limits,
        most_bytes: int,
        now: Callable[[], datetime],
    ) -> None:
        """Reads nothing yet.

        Args:
            settings: Topics, and the name that refusals are kept under.
            limits: What a message may bring.
            most_bytes: Longest payload.
            now: The clock that stamps are compared with.
        """
        self._prefix, self._name = settings.topic, f"mqtt:{settings.client_id}"
        self._limits, self._most_bytes, self._now = limits, most_bytes, now
        self._last = 0
        self.counts: Counter[str] = Counter()

    def frames(self, arrived: Arrived) -> Frames:
        """What is to be written of a message: its readings and what is refused, whatever it is."""
        # No two messages have the same time: refusals are known by it.
        received = self._last = max(microseconds(self._now()), self._last + 1)
        fleet = ""
        try:
            sender = sender_of_topic(self._prefix, arrived.topic)
            fleet = sender.fleet
            batch = self._batch(arrived.payload, sender, received)
        except RefusedMessage as why:
            batch = refused_whole(arrived.payload, why)
        self.counts["messages"] += 1
        self.counts["readings"] += len(batch.time)
        self.counts["refused"] += len(batch.refused)
        return frames_of(batch, self._name, fleet, received)

    def _batch(self, payload: bytes, sender: Sender, received: int) -> Batch:
        if len(payload) > self._most_bytes:
            raise RefusedMessage("body", f"is longer than {self._most_bytes} bytes")
        try:
            batch = batch_of(payload, form_of_payload(payload), received, self._limits)
        except TooManyMessages as error:
            raise RefusedMessage("body", f"{error}") from None
        if sender.device is not None and set(batch.device) - {sender.device}:
            raise RefusedMessage(
                "device_id",
                f"is another than {sender.device} of the topic; a gateway sends to "
                f"{self._prefix}/{sender.fleet}",
            )
        return batch
