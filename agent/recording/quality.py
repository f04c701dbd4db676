"""Whether a camera meets the legal floor: at least 320x240 and 15 frames a second (R-QUALITY; pure).

Rules:
* the rate is measured over the last `SPAN_S` seconds of readings, from frames that really arrived;
* it is judged only when frames flowed during the whole span: a lost camera is another fault.
"""

from collections import deque

MIN_WIDTH = 320
MIN_HEIGHT = 240
MIN_FPS = 15.0
SPAN_S = 10.0
TOLERANCE = 0.97  # 15 fps counted over ten seconds may miss a frame at either end


class FrameRate:
    """Frames a second over the last `SPAN_S`, from (monotonic seconds, frames so far)."""

    def __init__(self) -> None:
        self._readings: deque[tuple[float, int]] = deque()

    def add(self, mono_s: float, frames: int) -> None:
        """Add one reading; a count that went back begins anew."""
        if self._readings and frames < self._readings[-1][1]:
            self._readings.clear()
        self._readings.append((mono_s, frames))
        while len(self._readings) > 2 and mono_s - self._readings[1][0] >= SPAN_S:
            self._readings.popleft()

    def clear(self) -> None:
        """Forget the readings: frames do not flow."""
        self._readings.clear()

    @property
    def span_s(self) -> float:
        """Return the seconds that the rate is taken over."""
        return self._readings[-1][0] - self._readings[0][0] if self._readings else 0.0

    @property
    def fps(self) -> float:
        """Return frames a second; 0 before two readings."""
        if self.span_s <= 0:
            return 0.0
        return (self._readings[-1][1] - self._readings[0][1]) / self.span_s


def below_legal(width: int, height: int, rate: FrameRate) -> str:
    """Return what is below the floor, in words, or ""."""
    if width < MIN_WIDTH or height < MIN_HEIGHT:
        return f"{width}x{height} is below {MIN_WIDTH}x{MIN_HEIGHT}"
    if rate.span_s >= SPAN_S and rate.fps < MIN_FPS * TOLERANCE:
        return f"{rate.fps:.1f} frames a second are below {MIN_FPS:.0f}"
    return ""
