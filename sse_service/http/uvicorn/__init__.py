"""Everything that depends on uvicorn's internals. No other package uses undocumented parts of uvicorn."""
