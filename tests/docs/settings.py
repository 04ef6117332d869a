"""Writes the tables of ``deploy/settings.md`` from the settings themselves.

    python -m tests.docs.settings

Run it after a setting, its default or its meaning has changed.
"""

from __future__ import annotations

import re
from pathlib import Path

from sse_service.settings import names
from sse_service.settings.settings import PREFIX

PAGE = Path(__file__).parents[2] / "deploy" / "settings.md"

GROUPS = (
    ("Queue and topic", r"QUEUE_|TOPIC_ARN|SINGLE_TASK|SQS_"),
    ("History", r"BROKER_|HISTORY_|DEDUPE_|MAX_EVENT_"),
    ("Identity", r"JWT_|OIDC_|JWKS_|USER_CLAIM|GROUPS_CLAIM|ALB_|AUTHORIZER|REVOKED_"),
    ("Session cookie", r"COOKIE_"),
    ("Other origins and proxies", r"CORS_|TRUSTED_"),
    ("Streams", r"HEARTBEAT_|STREAM_|MAX_STREAMS|OPENS_|DRAIN_"),
    ("Routing", r"ROUTE_|S3_|UNROUTED"),
    ("Watching it", r"ADMIN_|EMF_|OTEL|LOG_"),
)
"""A heading, and how the names below it begin after ``SSE_``. Each setting belongs to one."""

BEGIN, END = "<!-- tables: python -m tests.docs.settings -->", "<!-- end of tables -->"


def tables() -> str:
    """Give all tables. Raises ValueError for a setting that belongs to no group, or to several."""
    rows: dict[str, list[str]] = {heading: [] for heading, _ in GROUPS}
    for name, default, meaning in names.table():
        fitting = [heading for heading, begin in GROUPS if re.match(begin, name.removeprefix(PREFIX))]
        if len(fitting) != 1:
            raise ValueError(f"{name} belongs to {len(fitting)} groups of {__name__}")
        rows[fitting[0]].append(f"| `{name}` | {f'`{default}`' if default else ''} | {meaning} |")
    head = "| variable | default | meaning |\n|---|---|---|\n"
    return "\n\n".join(f"## {heading}\n\n{head}" + "\n".join(lines) for heading, lines in rows.items())


def main() -> None:
    """Replace what stands between the two marks."""
    before, _, rest = PAGE.read_text(encoding="utf-8").partition(BEGIN)
    _, _, after = rest.partition(END)
    PAGE.write_text(f"{before}{BEGIN}\n\n{tables()}\n\n{END}{after}", encoding="utf-8")


if __name__ == "__main__":
    main()
