"""Probes, heartbeat, self-tests."""
