"""Reads a standard SQS queue: long polling, batched deletes, and visibility extension for messages that are held.

Any Handler can use it. ``fast`` holds a cheaper way to make the two calls that a busy consumer makes all the time.
"""
