"""From an Envelope to Routes, and the Handler that is given to a consumer. All but the Handler is pure."""
