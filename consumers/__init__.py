"""Reads queues and hands over Envelopes; knows no HTTP, hub or user."""
