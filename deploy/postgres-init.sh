#!/bin/sh
# Run once, by the Postgres image on an empty volume or on RDS (deploy/aws): a role and a database
# for Dagster, and one of each for the warehouse's catalog. Neither can reach the other's, and each
# is restored alone.
set -eu
psql --no-psqlrc --set ON_ERROR_STOP=1 --set dagster="$DAGSTER_PG_PASSWORD" \
  --set warehouse="$WAREHOUSE_PG_PASSWORD" --username "${POSTGRES_USER:-postgres}" \
  --dbname "${POSTGRES_DB:-postgres}" <<'SQL'
CREATE ROLE dagster LOGIN PASSWORD :'dagster';
CREATE ROLE warehouse LOGIN PASSWORD :'warehouse';
-- A managed server's administrator is no superuser, and gives databases only to its own roles.
GRANT dagster, warehouse TO CURRENT_USER;
CREATE DATABASE dagster OWNER dagster;
CREATE DATABASE warehouse OWNER warehouse;
REVOKE ALL ON DATABASE dagster, warehouse FROM PUBLIC;
SQL
