"""One probe per file; adding a probe is adding a file."""
