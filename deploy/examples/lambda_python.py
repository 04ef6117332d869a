"""A Lambda on the bucket's notifications: works on each uploaded file, and tells its user's page of each step."""

import json
import os
from urllib.parse import unquote_plus

import boto3

sns = boto3.client("sns")


def handler(event, context):
    """Take keys as users/42/7/report.pdf: the user, the job, the file."""
    for record in event["Records"]:
        bucket, key = record["s3"]["bucket"]["name"], unquote_plus(record["s3"]["object"]["key"])
        parts = key.split("/", 3)
        if len(parts) < 4 or not all(parts):
            continue  # no job's file, as a folder's marker; to fail on it would fail the others too
        _, user, job, _ = parts
        tell(user, job, step=1, state="working")
        work(bucket, key)
        # The state first, then the event: a page that fetches the state on hearing of it must find it there.
        save(user, job, state="done")
        tell(user, job, step=2, state="done")


def tell(user, job, *, step, state):
    """Publish one step; a failure to do so is raised, and the Lambda's retry tells again."""
    attributes = {
        "user_id": user,
        "event_type": f"job.{state}",
        "subject": f"job/{job}",
        # One id for each step. A retry sends the same ids, and the page hears of each step once.
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
