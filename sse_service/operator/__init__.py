"""The operator's page on the admin port: the state of one task now and in the last 15 minutes.

It reads the task's metrics and streams, and changes neither. ``/metrics`` is served by ``http.admin``.
"""
