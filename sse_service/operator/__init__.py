"""The operator's page on the admin port: what one task does now, and what it did in the last 15 minutes.

It reads the task's metrics and streams and changes neither. ``/metrics`` is served by ``http.admin``.
"""
