"""`python -m aq_platform.code_server …` is `dagster api grpc …` with runs that begin warm.

With `--prepare` before all else it first makes Dagster's databases and sets the pools' limits, as
`aq prepare` does: whoever starts the platform then needs no Dagster itself.
"""

from __future__ import annotations

import sys

from aq_platform.console import readable_errors
from aq_resources.networks import known_networks

PREPARE = "--prepare"
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


def _prepare() -> None:
    from aq_platform.instance import open_instance, set_pool_limits
    from aq_resources.services import Services

    services = Services.from_environment()
    with open_instance(services.settings) as instance:
        set_pool_limits(instance, services.networks.values())


def main() -> None:
    """Serve until stopped."""
    arguments = sys.argv[1:]
    if arguments[:1] == [PREPARE]:
        del arguments[0]
        with readable_errors():
            _prepare()

    from aq_resources.dagster_storage.warm_runs import serve

    serve(arguments, IMPORTS)


if __name__ == "__main__":
    main()
