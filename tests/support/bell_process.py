"""`python -m support.bell_process CERT KEY CA DIR PORT [--die-at-publish]`: the bell service, to be killed."""

import os
import signal
import sys
from pathlib import Path

from agent.clock import SystemClock
from agent.log_setup import log_to_stderr
from agent.mqtt.paho_link import PahoLink
from agent.wiring.bell import build_bell_service
from center.pki import Issued
from support.bell_pole import POLE, bell_config


class DyingLink(PahoLink):
    """Power fails after the commit and before the alarm reaches the socket."""

    def publish(self, topic: str, payload: bytes, *, qos: int) -> bool:
        if topic.endswith("/alarm"):
            os.kill(os.getpid(), signal.SIGKILL)
        return super().publish(topic, payload, qos=qos)


def main() -> int:
    log_to_stderr(verbose=False)
    cert, key, ca, directory = map(Path, sys.argv[1:5])
    config = bell_config(directory, int(sys.argv[5]), Issued(POLE, cert, key, ca))
    make_link = DyingLink if "--die-at-publish" in sys.argv else PahoLink
    return build_bell_service(config, SystemClock(), make_link=make_link).run()


if __name__ == "__main__":
    sys.exit(main())
