"""Real servers for the tests, from PyPI wheels and without Docker, and receivers of alerts."""
