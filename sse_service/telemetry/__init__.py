"""What a task reports about itself: metrics, logs, health.

Nothing here changes what the task does, and the page that shows these values is in ``operator``.
"""
