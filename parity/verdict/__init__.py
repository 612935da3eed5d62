"""One comparison: what differs, a status for it, and the evidence."""
