"""Measurements for Prometheus: what of the data is shared by the API's and the platform's."""
