"""A client of the broker that acknowledges what is durable."""

from __future__ import annotations

import asyncio
import logging
import ssl
from typing import Any
from urllib.parse import urlsplit

from paho.mqtt.client import Client, ConnectFlags, DisconnectFlags, MQTTMessage
from paho.mqtt.enums import CallbackAPIVersion, MQTTProtocolVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties
from paho.mqtt.reasoncodes import ReasonCode
from paho.mqtt.subscribeoptions import SubscribeOptions

from aq_resources.failures import SettingsError, TransientFailure
from aq_serving.ingest.committer import Committer, Frames
from aq_serving.ingest.mqtt.inbox import Arrived, Inbox
from aq_serving.ingest.mqtt.intake import Intake
from aq_serving.ingest.settings import MqttSettings

_PORTS = {"mqtt": 1883, "mqtts": 8883}
_KEEPALIVE_SECONDS = 30
# From the first try to connect again, and to write again, to the longest pause between two.
_SHORTEST_PAUSE, _LONGEST_PAUSE = 1, 30
# The most that MQTT can say: until someone removes it.
_SESSION_SECONDS = 0xFFFFFFFF
_REPORT_SECONDS = 60.0
_LOG = logging.getLogger("aq.mqtt")


class Bridge:
    """A client of the broker, and what it brings on its way into the spool."""

    def __init__(
        self, settings: MqttSettings, intake: Intake, committer: Committer, memory_bytes: int
    ) -> None:
        """Connects to nothing yet.

        Args:
            settings: The broker, and how it lets this client in.
            intake: Makes frames of messages.
            committer: Makes frames durable.
            memory_bytes: What may wait without a guarantee.

        Raises:
            SettingsError: The certificates cannot be read.
        """
        self._settings, self._intake, self._committer = settings, intake, committer
        self._inbox = Inbox(memory_bytes)
        self._connection = 0
        self._client = self._new_client()

    async def run(self, stop: asyncio.Event) -> None:
        """Take what the broker sends until `stop` is set; what is taken then is finished."""
        address = urlsplit(self._settings.url)
        properties = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
        properties.SessionExpiryInterval = _SESSION_SECONDS
        properties.ReceiveMaximum = self._settings.in_flight
        self._client.connect_async(
            address.hostname or "",
            address.port or _PORTS[address.scheme],
            _KEEPALIVE_SECONDS,
            clean_start=False,
            properties=properties,
        )
        self._client.loop_start()
        work = asyncio.create_task(self._work(stop))
        report = asyncio.create_task(self._report())
        stopped = asyncio.create_task(stop.wait())
        try:
            await asyncio.wait({work, stopped}, return_when=asyncio.FIRST_COMPLETED)
            if work.done():
                # Not by itself, but for a defect.
                work.result()
        finally:
            for task in (report, stopped):
                task.cancel()
            # A group that is being written is acknowledged before the end.
            self._inbox.end()
            await asyncio.wait({work})
            await asyncio.to_thread(self._leave)

    def _leave(self) -> None:
        self._client.disconnect()
        self._client.loop_stop()

    async def _work(self, stop: asyncio.Event) -> None:
        while (group := await self._inbox.take()) is not None:
            frames = [frame for one in group for frame in self._intake.frames(one)]
            if not await self._durable(frames, stop):
                return
            for one in group:
                # After another connection began, the broker sends the message again.
                if one.qos and one.connection == self._connection:
                    self._client.ack(one.mid, one.qos)

    async def _durable(self, frames: Frames, stop: asyncio.Event) -> bool:
        """Write until it is written; False where there is no time left to.

        What is not acknowledged meanwhile keeps the broker from sending more.
        """
        pause = float(_SHORTEST_PAUSE)
        while True:
            try:
                await self._committer.commit(frames)
            except TransientFailure as failure:
                _LOG.error("%s Nothing more is taken until it is written.", failure.message)
            else:
                return True
            try:
                await asyncio.wait_for(stop.wait(), pause)
            except TimeoutError:
                pause = min(2 * pause, _LONGEST_PAUSE)
            else:
                return False

    async def _report(self) -> None:
        while True:
            await asyncio.sleep(_REPORT_SECONDS)
            counts = self._intake.counts
            if counts:
                said = ", ".join(f"{number} {name}" for name, number in sorted(counts.items()))
                _LOG.info("In the last %g s: %s", _REPORT_SECONDS, said)
                counts.clear()
            if self._inbox.dropped:
                _LOG.warning(
                    "%s messages of QoS 0 came faster than they can be written, and are lost.",
                    self._inbox.dropped,
                )
                self._inbox.dropped = 0

    def _new_client(self) -> Client:
        settings = self._settings
        client = Client(
            CallbackAPIVersion.VERSION2,
            settings.client_id,
            protocol=MQTTProtocolVersion.MQTTv5,
            manual_ack=True,
        )
        if settings.username is not None:
            password = settings.password
            client.username_pw_set(
                settings.username, None if password is None else password.get_secret_value()
            )
        if settings.url.startswith("mqtts:"):
            try:
                client.tls_set(ca_certs=None if settings.ca_file is None else str(settings.ca_file))
            except (OSError, ssl.SSLError) as error:
                raise SettingsError(f"AQ_MQTT_CA_FILE cannot be read: {error}.") from None
        client.reconnect_delay_set(_SHORTEST_PAUSE, _LONGEST_PAUSE)
        client.on_connect = self._connected
        client.on_connect_fail = self._unreachable
        client.on_disconnect = self._disconnected
        client.on_subscribe = self._subscribed
        client.on_message = self._arrived
        return client

    # What follows is called by the client's thread.

    def _connected(
        self,
        client: Client,
        _user: Any,
        flags: ConnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        if reason.is_failure:
            _LOG.error(
                "The broker lets no one in: %s. Check AQ_MQTT_USERNAME and AQ_MQTT_PASSWORD, and "
                "the broker's own users.",
                reason,
            )
            return
        kept = "with the session that it kept" if flags.session_present else "by a new session"
        _LOG.info("Connected to %s %s.", self._settings.url, kept)
        # What a broker retains for a topic is sent once, not at each connection.
        options = SubscribeOptions(qos=1, retainHandling=SubscribeOptions.RETAIN_SEND_IF_NEW_SUB)
        prefix = self._settings.topic
        client.subscribe([(f"{prefix}/+", options), (f"{prefix}/+/+", options)])

    def _unreachable(self, _client: Client, _user: Any) -> None:
        _LOG.warning("%s cannot be reached; trying again.", self._settings.url)

    def _disconnected(
        self,
        _client: Client,
        _user: Any,
        _flags: DisconnectFlags,
        reason: ReasonCode,
        _properties: Properties | None,
    ) -> None:
        self._connection += 1
        if reason.is_failure:
            _LOG.warning("The connection to the broker is lost (%s); trying again.", reason)

    def _subscribed(
        self,
        _client: Client,
        _user: Any,
        _mid: int,
        reasons: list[ReasonCode],
        _properties: Properties | None,
    ) -> None:
        for reason in reasons:
            if reason.is_failure:
                _LOG.error(
                    "The broker does not let %s read below %s: %s. Its access list has to.",
                    self._settings.username or "an unnamed user",
                    self._settings.topic,
                    reason,
                )

    def _arrived(self, _client: Client, _user: Any, message: MQTTMessage) -> None:
        try:
            topic = message.topic
        except UnicodeDecodeError:
            topic = ""
        self._inbox.put(
            Arrived(topic, bytes(message.payload), message.mid, message.qos, self._connection)
        )
