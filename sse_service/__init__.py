"""Streams events from a queue to the browsers of the users they are for."""
