"""Chooses adapters for the configuration; nothing else does."""
