"""What outsiders reach: the HTTP API over the tables. It reads, and writes nothing."""
