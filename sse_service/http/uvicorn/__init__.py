"""Everything that depends on how uvicorn works inside. No other room touches what uvicorn does not document."""
