"""Uploaded files: their keys in the bucket, and the S3 notifications that announce them."""

from __future__ import annotations

import hashlib
import re
from dataclasses import dataclass
from typing import Any
from urllib.parse import unquote_plus

from sse_service.dev.jobs import Job

_ID = re.compile(r"[0-9a-f]{32}")


def is_upload_id(text: str) -> bool:
    """Whether a page may use this text as an upload's id."""
    return _ID.fullmatch(text) is not None


def upload_key(user: str, upload_id: str, name: str) -> str:
    """Return the key under which the back end stores an upload. The upload's id is also the id of its job."""
    return f"users/{user}/{upload_id}/{name}"


@dataclass(frozen=True, slots=True)
class Upload:
    """One record of an S3 notification."""

    bucket: str
    key: str
    version: str
    """Differs between two uploads to the same key."""

    @property
    def job(self) -> Job:
        """The job of this file, in its first state. Raises ValueError if the key is not ``users/<user>/…``.

        Every copy of the notification has the same job.
        """
        place, _, rest = self.key.partition("/")
        user, _, path = rest.partition("/")
        folder, _, name = path.rpartition("/")
        if place != "users" or not user or not name:
            raise ValueError("the key is not users/<user>/…")
        # A file that did not come through the back end has no upload id.
        versioned = f"{self.bucket}\n{self.key}\n{self.version}".encode()
        job_id = folder if is_upload_id(folder) else hashlib.sha256(versioned).hexdigest()[:32]
        return Job(id=job_id, user=user, name=name, key=self.key)


def uploads_of(body: Any) -> list[Upload]:
    """Read a notification. S3's own test notification has no uploads.

    Raises ValueError, KeyError or TypeError for anything else.
    """
    if isinstance(body, dict) and body.get("Event") == "s3:TestEvent":
        return []
    found = []
    for record in body["Records"]:
        s3_object = record["s3"]["object"]
        # The key is URL-encoded, with + for a space. Two uploads of the same bytes differ in their sequencer.
        version = f"{s3_object['eTag']} {s3_object.get('sequencer') or record['eventTime']}"
        found.append(Upload(record["s3"]["bucket"]["name"], unquote_plus(s3_object["key"]), version))
    return found
