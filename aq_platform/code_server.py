"""`python -m aq_platform.code_server …` is `dagster api grpc …` with runs that begin warm."""

from __future__ import annotations

import sys

from aq_resources.dagster_storage.warm_runs import serve
from aq_resources.networks import known_networks

# What runs import sooner or later, whichever they are. None of it does anything as it is imported.
IMPORTS = (
    "aq_platform.definitions",
    *(f"aq_resources.networks.{network}.client" for network in known_networks()),
    "lightgbm",
    "matplotlib.backends.backend_agg",
    "matplotlib.figure",
    "pyarrow.dataset",
    "upath",
)


def main() -> None:
    """Serve until stopped."""
    serve(sys.argv[1:], IMPORTS)


if __name__ == "__main__":
    main()
