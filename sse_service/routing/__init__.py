"""Decides whom a message is for and what they see: an Envelope in, Routes out, and the Handler that a consumer calls.

Everything except the Handler (``ingest.py``) is pure. This room alone turns a broker's errors into Outcomes.
"""
