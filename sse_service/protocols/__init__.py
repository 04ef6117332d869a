"""What clients speak. Each protocol is a package that translates between requests and streams."""
