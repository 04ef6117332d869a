"""The operator's page on the admin port: the state of one task now and in the last 15 minutes.

It changes neither metrics nor streams, and does not serve ``/metrics``, which is in ``http.admin``.
"""
