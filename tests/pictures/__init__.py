"""Makes the pictures that the documents show. Run a module of it by name; nothing here is a test."""
