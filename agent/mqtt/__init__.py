"""The pole's one MQTT 5 session."""
