"""A Lambda on a bucket's notifications. It works on each file and tells the page of its user about each step."""

import json
import os
from urllib.parse import unquote_plus

import boto3

sns = boto3.client("sns")


def handler(event, context):
    """Handle keys such as users/42/7/report.pdf, which name the user, the job and the file."""
    for record in event["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
        parts = key.split("/", 3)
        if len(parts) < 4 or not all(parts):
            continue  # not a job's file, for example a folder's marker; an error would also retry the other records
        _, user, job, _ = parts
        tell(user, job, step=1, state="working")
        work(bucket, key)
        # Save first, then publish: a page that fetches the state because of the event must find it.
        save(user, job, state="done")
        tell(user, job, step=2, state="done")


def tell(user, job, *, step, state):
    """Publish one step. If that fails, the exception makes Lambda retry."""
    attributes = {
        "user_id": user,
        "event_type": f"job.{state}",
        "subject": f"job/{job}",
        # One id per step: if a retry publishes a step again, the page still gets it once.
        "event_id": f"{job}-{step}",
    }
    sns.publish(
        TopicArn=os.environ["TOPIC_ARN"],
        Message=json.dumps({"job": job, "step": step, "state": state}),
        MessageAttributes={name: {"DataType": "String", "StringValue": value} for name, value in attributes.items()},
    )


def work(bucket, key):
    """Your work."""


def save(user, job, *, state):
    """Your database."""
