# syntax=docker/dockerfile:1
# One image for webserver, daemon, code server and the aq command; compose.yaml says which is which.
# Written and linted, not run: build it once in your own environment before relying on it.

FROM python:3.11-slim-bookworm AS build
# Another lock for an image with an extra (celery, k8s): docs/operating.md, "Growing".
ARG LOCK=requirements.lock
WORKDIR /build
RUN python -m venv /opt/venv
COPY requirements*.lock ./
RUN --mount=type=cache,target=/var/cache/pip \
    /opt/venv/bin/pip install --cache-dir /var/cache/pip --require-hashes --requirement "$LOCK"

FROM python:3.11-slim-bookworm
# LightGBM's wheel is linked against it.
RUN apt-get update \
    && apt-get install --yes --no-install-recommends libgomp1 \
    && rm -rf /var/lib/apt/lists/* \
    && groupadd --gid 10001 aq \
    && useradd --uid 10001 --gid aq --create-home aq \
    && install --directory --owner=aq --group=aq /opt/dagster /var/lib/aq /var/lib/aq/devices /keys
COPY --from=build /opt/venv /opt/venv
ENV PATH=/opt/venv/bin:$PATH \
    PYTHONPATH=/app \
    PYTHONUNBUFFERED=1 \
    MPLCONFIGDIR=/tmp/matplotlib \
    DAGSTER_HOME=/opt/dagster \
    AQ_HOME=/var/lib/aq

WORKDIR /app
COPY LICENSE pyproject.toml dagster.yaml workspace.yaml networks.yaml ./
COPY deploy deploy
COPY aq_science aq_science
COPY aq_resources aq_resources
COPY aq_assets aq_assets
COPY aq_sensors aq_sensors
COPY aq_serving aq_serving
COPY aq_platform aq_platform
COPY aq_sandbox aq_sandbox
# The code is run from /app, not installed: nothing is built or fetched outside the lock file.
RUN python -m compileall -q /app \
    && printf '%s\n' '#!/opt/venv/bin/python' 'from aq_platform.cli import app' 'app()' \
        > /opt/venv/bin/aq \
    # By this name Dagster's Helm chart starts the UI: it is the guarded one here.
    && printf '%s\n' '#!/opt/venv/bin/python' 'from aq_platform.webserver import main' 'main()' \
        > /opt/venv/bin/dagster-webserver \
    && chmod 755 /opt/venv/bin/aq /opt/venv/bin/dagster-webserver \
    && install --owner=aq --group=aq deploy/dagster.yaml /opt/dagster/dagster.yaml

USER 10001:10001
EXPOSE 3000 4000 8700
# Fits the default command; compose.yaml has one for each of the other services.
HEALTHCHECK --interval=30s --timeout=10s --start-period=60s --retries=3 \
    CMD ["python", "-c", "import urllib.request as u; u.urlopen('http://127.0.0.1:3000/server_info', timeout=8)"]
CMD ["python", "-m", "aq_platform.webserver", "-h", "0.0.0.0", "-p", "3000", "-w", "/app/deploy/workspace.yaml"]
