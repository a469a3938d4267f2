"""The API under load, beside nginx serving the same bytes in the same run."""
