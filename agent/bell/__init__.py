"""The emergency bell: contact, debounce, alarm, lights, outbox."""
