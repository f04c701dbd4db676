"""The reference: what "MQTT QoS 1 with a persistent session" does when one writes it as the tutorials do.

`python -m drill.plain_child pole CERT KEY CA PORT [--held]` publishes each press at QoS 1 and forgets it at the PUBACK
(paho's own queue, in memory); the lines in and out are those of `drill.bell_child`.
`python -m drill.plain_child center CERT KEY CA PORT DATABASE` subscribes with a session that the broker keeps and
commits each message before it is acknowledged.
"""

import json
import os
import socket
import sqlite3
import ssl
import sys
import time
import uuid
from pathlib import Path
from typing import Any

import paho.mqtt.client as paho
from paho.mqtt.enums import CallbackAPIVersion
from paho.mqtt.packettypes import PacketTypes
from paho.mqtt.properties import Properties

from drill.say import say

SCHEMA = "CREATE TABLE IF NOT EXISTS message (alarm_id TEXT, pole TEXT, pressed_at_us INTEGER, committed_at_us INTEGER)"


def session(cert: Path, key: Path, ca: Path) -> paho.Client:
    context = ssl.create_default_context(cafile=str(ca))
    context.load_cert_chain(cert, key)
    client = paho.Client(CallbackAPIVersion.VERSION2, cert.stem, protocol=paho.MQTTv5)
    client.tls_set_context(context)
    client.reconnect_delay_set(1, 5)
    client.on_socket_open = lambda _c, _u, sock: sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
    return client


def start(client: paho.Client, port: int) -> None:
    kept = Properties(PacketTypes.CONNECT)  # type: ignore[no-untyped-call]
    kept.SessionExpiryInterval = 86_400
    client.connect_async("127.0.0.1", port, 10, clean_start=False, properties=kept)
    client.loop_start()


def run_pole(client: paho.Client, pole: str, port: int, held: bool) -> None:
    def press() -> None:
        alarm_id = uuid.uuid4().hex
        payload = json.dumps({"alarm_id": alarm_id, "pole": pole, "pressed_at_us": time.time_ns() // 1000})
        client.publish(f"ps/v1/{pole}/up/alarm", payload, qos=1)
        say(f"alarm {alarm_id}")

    start(client, port)
    say("ready")
    if held:
        press()
    for line in sys.stdin:
        if line.strip() == "pressed":
            press()
        say(line.strip().partition(" ")[0])
    os._exit(0)


def stored(db: sqlite3.Connection, values: tuple[object, ...]) -> bool:
    try:
        db.execute("INSERT INTO message VALUES (?, ?, ?, ?)", values)
    except sqlite3.Error:
        return False
    return True


def run_center(client: paho.Client, port: int, database: Path) -> None:
    db = sqlite3.connect(database, isolation_level=None, check_same_thread=False)
    for statement in ("PRAGMA journal_mode = WAL", "PRAGMA synchronous = FULL", SCHEMA):
        db.execute(statement)

    def take(_client: Any, _data: Any, message: paho.MQTTMessage) -> None:
        said = json.loads(message.payload)
        values = (said["alarm_id"], said["pole"], said["pressed_at_us"], time.time_ns() // 1000)
        while not stored(db, values):
            time.sleep(0.2)  # better than most: no acknowledgement goes out while the disk is full

    client.on_message = take
    client.on_connect = lambda c, *_: c.subscribe("ps/v1/+/up/alarm", 1)
    start(client, port)
    say("ready")
    sys.stdin.read()
    os._exit(0)


def main() -> int:
    cert, key, ca = map(Path, sys.argv[2:5])
    client, port = session(cert, key, ca), int(sys.argv[5])
    if sys.argv[1] == "pole":
        run_pole(client, cert.stem, port, "--held" in sys.argv)
    else:
        run_center(client, port, Path(sys.argv[6]))
    return 0


if __name__ == "__main__":
    sys.exit(main())
