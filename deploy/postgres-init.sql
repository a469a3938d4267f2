-- Run once by the Postgres image on an empty volume. Dagster's database is POSTGRES_DB; the
-- warehouse's catalog has its own, so that each can be backed up and restored alone.
CREATE DATABASE warehouse;
