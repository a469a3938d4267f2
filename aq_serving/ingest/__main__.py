"""`python -m aq_serving.ingest`: as `aq ingest`, for `aq up`."""

from __future__ import annotations

from aq_serving.ingest.server import serve_ingest
from aq_serving.ingest.settings import IngestSettings

if __name__ == "__main__":
    serve_ingest(IngestSettings())
