"""Create the bucket AQ_BUCKET at AQ_S3_ENDPOINT_URL unless it exists."""

import os

import boto3

client = boto3.client("s3", endpoint_url=os.environ.get("AQ_S3_ENDPOINT_URL") or None)
bucket = os.environ["AQ_BUCKET"]
if bucket not in {found["Name"] for found in client.list_buckets()["Buckets"]}:
    client.create_bucket(Bucket=bucket)
