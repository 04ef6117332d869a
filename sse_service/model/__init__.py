"""Values that all other packages use: events, cursors, reasons, principals, errors. No I/O."""
