#!/bin/sh
# Makes of the variables that ECS gives a task what the platform reads, and starts the arguments.
# The two texts with a password in them are put together here, since a secret comes alone.
set -eu
if [ -n "${WAREHOUSE_PG_PASSWORD:-}" ]; then
  AQ_WAREHOUSE="ducklake:postgres:host=$DAGSTER_PG_HOST port=$DAGSTER_PG_PORT dbname=warehouse"
  AQ_WAREHOUSE="$AQ_WAREHOUSE user=warehouse password=$WAREHOUSE_PG_PASSWORD"
  export AQ_WAREHOUSE
  unset WAREHOUSE_PG_PASSWORD
fi
if [ -n "${REDIS_PASSWORD:-}" ]; then
  CELERY_BROKER_URL="rediss://:$REDIS_PASSWORD@$REDIS_HOST:6379/0?ssl_cert_reqs=required"
  CELERY_RESULT_BACKEND="$CELERY_BROKER_URL"
  export CELERY_BROKER_URL CELERY_RESULT_BACKEND
  unset REDIS_PASSWORD
fi
# Without the line for stores that are not AWS's.
sed '/endpoint_url:/d' "${AQ_DEPLOY:-/app/deploy}/${INSTANCE:-dagster.yaml}" > "$DAGSTER_HOME/dagster.yaml"
exec "$@"
