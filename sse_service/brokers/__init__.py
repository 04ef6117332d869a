"""Carry events between tasks and keep their recent history."""
