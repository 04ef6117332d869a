"""What clients speak. Each protocol is a room that translates between requests and streams."""
