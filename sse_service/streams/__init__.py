"""The core: who hears what, and how a stream comes from History to live. Knows no HTTP and no encoding."""
