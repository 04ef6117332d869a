"""From a request to the Principal behind it. Knows no streams and signs nothing."""
