"""What people are notified of: something fails, falls silent or recovers."""
