"""The tables and files that readers outside rely on, one module each."""
