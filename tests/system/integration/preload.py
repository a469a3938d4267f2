"""What the process out of which `aq` is forked has done before: what each command would do."""

import gc
import importlib
import tempfile
from datetime import date

import dagster as dg

from aq_assets.plots import Line, Panel, plot
from aq_resources.http.client import HttpClient
from aq_resources.networks import known_networks
from aq_science.stations import zone_at
from aq_science.windows import DAY, midnight
from tests import migrations, mirrors

for _module in (
    "aq_platform.cli",
    "aq_platform.definitions",
    "aq_platform.demo",
    "aq_platform.doctor",
    "aq_platform.execution",
    "aq_platform.query",
    "aq_resources.dagster_storage.event_log",
    *(f"aq_resources.networks.{network}.client" for network in known_networks()),
    "boto3",
    "certifi",
    "dagster._core.execution.execute_in_process",
    "dagster._core.executor.in_process",
    "dagster._core.storage.local_compute_log_manager",
    "dagster._core.storage.root",
    "dagster._core.storage.schedules",
    "dagster_postgres",
    "fsspec.implementations.local",
    "h11",
    "httpcore",
    "matplotlib.backends.backend_agg",
    "matplotlib.dates",
    "pandas",
    "psycopg2",
    "pyarrow",
    "rich.markdown",
    "tests.system.integration.crowd",
    "typer.rich_utils",
    "tzfpy",
    "upath.implementations.local",
):
    importlib.import_module(_module)

migrations.read_once()
mirrors.look_after_themselves()

# The first picture of a process looks for its fonts.
_day = midnight(date(2025, 6, 10))
plot("PM2.5", [Panel("PM2.5 [µg/m³]", [Line("1", [_day, _day + DAY], [1.0, 2.0])])])

# The first position looks for its map, the first request for its certificates, and the first home
# for its migrations.
zone_at(50.6, 4.6)
HttpClient("none").close()
with tempfile.TemporaryDirectory() as _home, dg.DagsterInstance.local_temp(_home):
    pass

# A collection in a fork would copy every page of what is here.
gc.collect()
gc.freeze()
