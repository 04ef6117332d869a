"""Reads an SQS queue: long polls, deletes, and visibility for what is held."""
