"""From a request to the user behind it."""
