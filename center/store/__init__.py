"""What the center knows, in SQLite."""
