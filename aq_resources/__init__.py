"""The outside world: network clients, object store, warehouse, IO managers and settings."""
