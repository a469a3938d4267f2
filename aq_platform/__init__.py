"""The roof: the one code location, and the `aq` command."""
