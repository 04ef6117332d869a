"""A Lambda with a function URL that tells the push service who is behind a session cookie (SSE_AUTHORIZER_URL).

Sessions are in a DynamoDB table: id (SHA-256 of the cookie's value), user, groups, expires (Unix time, for its TTL).
"""

import hashlib
import json
import os
import time

import boto3

COOKIE = "session"
SECONDS = 900  # a stream ends after this time, and its page comes back: then the push service asks again

sessions = boto3.resource("dynamodb").Table(os.environ["SESSIONS_TABLE"])


def handler(event, context):
    """Answer 200 with the user, or 401. An error becomes a 502: the service then lets pages try again."""
    pairs = (cookie.partition("=") for cookie in event.get("cookies", ()))
    values = {value for name, _, value in pairs if name == COOKIE}
    # Two different cookies are not judged: a sibling subdomain may have set one of them.
    session = find(values.pop()) if len(values) == 1 else None
    seconds = min(SECONDS, int(session["expires"] - int(time.time()))) if session else 0
    if seconds <= 0:
        # Anyone may call the URL. Unknown and ended sessions look the same, so it tells nothing about a guessed cookie.
        return answer(401, {})
    groups = sorted(session.get("groups", ()))
    return answer(200, {"user": session["user"], "groups": groups, "expires_in": seconds})


def find(cookie):
    """Return the session, or None. The table has no cookies, only hashes: who reads it cannot sign in with them."""
    key = {"id": hashlib.sha256(cookie.encode()).hexdigest()}
    # Consistent, so that a session that was deleted at sign-out is not found any more.
    return sessions.get_item(Key=key, ConsistentRead=True).get("Item")


def answer(status, body):
    """Return a response in payload format 2.0."""
    headers = {"Content-Type": "application/json", "Cache-Control": "no-store"}
    return {"statusCode": status, "headers": headers, "body": json.dumps(body)}
