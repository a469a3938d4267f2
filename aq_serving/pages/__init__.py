"""The dashboard: its built pages, which `make dashboard` makes, and how they are sent."""
