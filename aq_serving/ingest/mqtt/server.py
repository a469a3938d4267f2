"""The bridge as a process."""

from __future__ import annotations

import asyncio
import logging
import signal

from aq_resources.clock import open_clock
from aq_resources.failures import SettingsError
from aq_resources.logs import configure_logs
from aq_resources.networks.devices.settings import NetworkSettings
from aq_resources.settings import Settings
from aq_serving.ingest.committer import Committer
from aq_serving.ingest.intake import limits_of
from aq_serving.ingest.mqtt.bridge import Bridge
from aq_serving.ingest.mqtt.intake import Intake
from aq_serving.ingest.settings import IngestSettings, MqttSettings
from aq_serving.ingest.writers import open_writer


def serve_mqtt() -> None:
    """Run the bridge until a signal comes.

    Raises:
        SettingsError: There is no broker to connect to.
    """
    settings = MqttSettings()
    if not settings.url:
        raise SettingsError("AQ_MQTT_URL names the broker, such as mqtt://127.0.0.1:1883: set it.")
    configure_logs()
    # As text unless the settings say otherwise.
    logging.basicConfig(format="%(asctime)s %(levelname)s %(message)s")
    logging.getLogger("aq.mqtt").setLevel(logging.INFO)
    asyncio.run(_serve(settings))


async def _serve(settings: MqttSettings) -> None:
    own, ingest, platform = NetworkSettings(), IngestSettings(), Settings()
    now = open_clock(platform.clock)
    writer, _ = open_writer(platform, own, ingest, now)
    intake = Intake(settings, limits_of(ingest, own.late_days), ingest.body_bytes, now)
    committer = Committer(writer)
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()
    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop.set)
    try:
        await Bridge(settings, intake, committer, ingest.memory_bytes).run(stop)
    finally:
        await asyncio.to_thread(committer.close)
