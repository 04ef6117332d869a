"""A shorter way through aiobotocore for the two calls that a busy consumer makes: receive and delete."""
