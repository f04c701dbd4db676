"""Receives bells and heartbeats over MQTT, commits, then answers."""
