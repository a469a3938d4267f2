"""Pure calculations on air-quality readings: polars and numpy in and out.

Nothing here knows Dagster, the clock, files or the network.
"""
