"""`python -m drill.bell_child CERT KEY CA DIR PORT OFFSET_S [--held]`: the real bell service under the drill's hand.

Lines in: `pressed`, `idle` (any line of `SimulatedButton`), `clock SECONDS`. Lines out: `ready` once the contacts are
watched, the same word once it is done, and `alarm ID` when the service hands an alarm to the link for the first time:
that is after its commit. `--held`: the contact is closed before the service opens it, as by a finger that never left.
"""

import os
import signal
import sys
import threading
import time
from pathlib import Path
from typing import Any

from support.bell_pole import bell_config

from agent.bell.gpiozero_contact import SimulatedButton, mock_factory
from agent.config import BellConfig
from agent.contract.messages import Alarm, decode
from agent.log_setup import log_to_stderr
from agent.mqtt.paho_link import PahoLink
from agent.wiring.bell import build_bell_service
from center.pki import Issued
from drill.say import say
from drill.stepped_clock import SteppedClock


class TellingLink(PahoLink):
    """The real link; it says the id of each alarm that it is given."""

    told: frozenset[str] = frozenset()

    def publish(self, topic: str, payload: bytes, *, qos: int) -> bool:
        if topic.endswith("/alarm"):
            alarm_id = decode(payload, Alarm).alarm_id
            if alarm_id not in self.told:
                self.told |= {alarm_id}
                say(f"alarm {alarm_id}")
        return super().publish(topic, payload, qos=qos)


def obey(pins: Any, config: BellConfig, button: SimulatedButton, clock: SteppedClock) -> None:
    while not all(pins.pin(number).when_changed for number in (config.no_pin, config.nc_pin)):
        time.sleep(0.005)  # the service has not opened its contacts yet; nothing tells when
    say("ready")
    for line in sys.stdin:
        word, _, value = line.strip().partition(" ")
        if word == "clock":
            clock.offset_s = float(value)
        else:
            button.set(word)
        say(word)
    os.kill(os.getpid(), signal.SIGTERM)  # the drill itself is gone


def main() -> int:
    log_to_stderr(verbose=False)
    cert, key, ca, directory = map(Path, sys.argv[1:5])
    config = bell_config(directory, int(sys.argv[5]), Issued(cert.stem, cert, key, ca))
    clock = SteppedClock(float(sys.argv[6]))
    pins = mock_factory()
    button = SimulatedButton(pins, config.bell.no_pin, config.bell.nc_pin)
    if "--held" in sys.argv:
        button.set("pressed")
    service = build_bell_service(config, clock, make_link=TellingLink, simulated_pins=pins)
    threading.Thread(target=obey, args=(pins, config.bell, button, clock), daemon=True).start()
    return service.run()


if __name__ == "__main__":
    sys.exit(main())
