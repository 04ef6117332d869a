"""Reads a standard SQS queue: long polling, batched deletes, and visibility extension for messages that are held.

It does not know what a message means: any Handler can use it.
"""
