"""How busy the processor was since the last reading, by psutil."""

import os

import psutil


class LoadProbe:
    """Keeps the counters of its last reading; the first reading counts from construction."""

    def __init__(self) -> None:
        self._times = psutil.cpu_times()

    def busy_percent(self) -> float:
        """Return 0..100 of all cores since the last call."""
        before, self._times = self._times, psutil.cpu_times()
        spent = [max(0.0, now - then) for now, then in zip(self._times, before, strict=True)]
        named = dict(zip(self._times._fields, spent, strict=True))
        total = sum(spent) - named.get("guest", 0.0) - named.get("guest_nice", 0.0)
        idle = named["idle"] + named.get("iowait", 0.0)
        return round(100.0 * (total - idle) / total, 1) if total > 0 else 0.0

    def load_1min(self) -> float:
        """Return the load average of the last minute."""
        return round(os.getloadavg()[0], 2)
