"""Which frames are dropped when there is no room: whole groups of pictures, counted. Pure; for one thread.

Rules:
* a frame that finds no room is dropped, and so is every frame after it up to the next keyframe that finds room:
  what passed before stays decodable, and no frame passes whose reference is missing;
* `shut`: the first frame to pass is a keyframe.
"""


class GroupGate:
    """One per queue; ask `passes` for each frame in order."""

    def __init__(self, *, shut: bool = False) -> None:
        self.shut = shut
        self.frames_dropped = 0
        self.dropped_in_a_row = 0

    def passes(self, *, keyframe: bool, room: bool) -> bool:
        """Return whether the frame passes; a dropped one is counted."""
        if room and (keyframe or not self.shut):
            self.open()
            return True
        self.shut = True
        self.frames_dropped += 1
        self.dropped_in_a_row += 1
        return False

    def open(self) -> None:
        """Let the next frame pass whatever it is (a new stream begins)."""
        self.shut = False
        self.dropped_in_a_row = 0
