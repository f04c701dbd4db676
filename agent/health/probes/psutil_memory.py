"""Main memory, by psutil."""

import psutil

from agent.contract.messages import MemoryReading


def read_memory() -> MemoryReading:
    """Return total and available bytes ("available" as the kernel reckons it, without swapping)."""
    memory = psutil.virtual_memory()
    return MemoryReading(total_bytes=memory.total, available_bytes=memory.available)
