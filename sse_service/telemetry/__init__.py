"""What a task reports about itself: metrics, logs, health.

Nothing in here changes what the task does. The operator's page, which shows these values, is in ``operator``.
"""
