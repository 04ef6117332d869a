"""Decides whom a message is for and what they see: an Envelope in, Routes out, and the Handler that a consumer calls.

It reads no queue and stores nothing, and all of it except the Handler (``ingest.py``) is pure.
"""
