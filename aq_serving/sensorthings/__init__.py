"""OGC SensorThings API 1.1 (18-088), read-only, over the same stores as the rest of the API."""
