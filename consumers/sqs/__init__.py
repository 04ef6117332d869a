"""Reads a standard SQS queue: long polling, batched deletes, and visibility extension for messages that are held.

It works with any Handler. ``fast`` makes the two most frequent calls with less CPU.
"""
