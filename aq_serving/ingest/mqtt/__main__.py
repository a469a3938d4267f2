"""`python -m aq_serving.ingest.mqtt`: as `aq devices mqtt`, for `aq up`."""

from __future__ import annotations

from aq_serving.ingest.mqtt.server import serve_mqtt

if __name__ == "__main__":
    serve_mqtt()
