"""The platform's metrics for Prometheus: Dagster's records, the stores, the data."""
