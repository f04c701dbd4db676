"""Signed commands at the center: officers' keys, signing and approving, and what the poles answer."""
