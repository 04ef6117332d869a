"""The values that every other room uses: events, cursors, reasons, principals, errors. Pure: no I/O."""
