"""`aq ingest`: devices push their readings here; what is acknowledged is on disk."""
