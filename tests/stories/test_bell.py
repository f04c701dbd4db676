"""The bell as a whole service, against a real mosquitto over mutual TLS."""

import dataclasses
import shutil
import socket

import pytest
from support.bell_pole import POLE, BellInProcess, BellProcess, bell_config
from support.broker import Broker, free_port
from support.certificates import certificates  # noqa: F401
from support.tiny_center import TinyCenter

from agent.bell.control_socket import ask_button, press_bell
from agent.contract import topics
from center.pki import Issued


@pytest.fixture
def broker(tmp_path, certificates):  # noqa: F811
    with Broker(tmp_path / "broker", certificates) as broker:
        yield broker


@pytest.fixture
def config(tmp_path, broker):
    return bell_config(tmp_path, broker.port, broker.shop.pole(POLE))


def light(name):
    return lambda status: status.bell.light == name


def has_fault(code):
    return lambda status: code in [fault.code for fault in status.faults]


def test_a_press_is_received_answered_and_closed(broker, config):
    with TinyCenter(broker) as center, BellInProcess(config) as bell:
        assert center.wait_for(lambda: center.statuses)
        center.beat()
        bell.wait_for(light("ready"))
        bell.press()
        assert center.wait_for(lambda: len(center.alarms) == 1)
        bell.wait_for(light("received"))
        (alarm,) = center.alarms.values()
        assert (alarm.line, alarm.press_number, alarm.simulated, alarm.held_at_boot) == ("pressed", 1, True, False)
        status = bell.wait_for(lambda s: s.incidents)
        assert [incident.pressed_at_us for incident in status.incidents] == [alarm.pressed_at_us]
        center.answer(POLE, alarm.incident_id, "answered")
        bell.wait_for(light("answered"))
        assert bell.lamp("green") and not bell.lamp("red")
        center.answer(POLE, alarm.incident_id, "closed")
        status = bell.wait_for(light("ready"))
        assert bell.lamp("white")
        assert status.bell.outbox_waiting == 0 and status.bell.last_press_to_receipt_ms > 0
        assert status.bell.last_puback_age_s is not None


def test_a_press_while_the_broker_is_down_is_delivered_once_when_it_returns(broker, config):
    with BellInProcess(config) as bell:
        broker.kill()
        bell.wait_for(has_fault("broker-down"))
        bell.press()
        bell.wait_for(light("calling"))
        broker.start()
        with TinyCenter(broker) as center:
            assert center.wait_for(lambda: center.alarms)
            bell.wait_for(lambda s: s.bell.outbox_waiting == 0)
            assert len(center.alarms) == 1


def test_two_presses_in_one_incident_share_it_and_are_numbered(broker, config):
    with TinyCenter(broker) as center, BellInProcess(config) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.press()
        bell.press()
        assert center.wait_for(lambda: len(center.alarms) == 2)
        first, second = center.alarms.values()
        assert first.incident_id == second.incident_id
        assert (first.press_number, second.press_number) == (1, 2)


def test_an_alarm_survives_the_death_of_the_process_between_commit_and_publish(broker, config, tmp_path):
    with TinyCenter(broker) as center:
        with BellProcess(config, tmp_path, die_at_publish=True) as dying:
            dying.wait_for(lambda s: s.bell.line == "idle")
            with pytest.raises(OSError, match="does not answer"):
                press_bell(config.run_dir, 300)
            assert dying.wait_end() == -9
        assert not center.deliveries
        with BellProcess(config, tmp_path) as again:
            assert center.wait_for(lambda: center.alarms)
            again.wait_for(lambda s: s.bell.outbox_waiting == 0 and s.bell.light == "received")
            assert len(center.alarms) == 1


def test_an_alarm_that_the_broker_acknowledged_and_lost_reaches_the_center_once(broker, config):
    """FACTS: `kill -9` of mosquitto loses acknowledged messages."""
    with TinyCenter(broker):
        pass  # leaves nothing behind: nobody subscribes when the press comes
    with BellInProcess(config) as bell:
        bell.wait_for(lambda s: not has_fault("broker-down")(s))
        bell.press()
        bell.wait_for(lambda s: s.bell.last_puback_age_s is not None and s.bell.outbox_waiting == 1)
        broker.kill()
        broker.start()
        with TinyCenter(broker) as center:
            assert center.wait_for(lambda: center.alarms)
            bell.wait_for(lambda s: s.bell.outbox_waiting == 0)
            assert len(center.alarms) == 1


def test_without_a_receipt_the_alarm_is_sent_again(broker, config):
    with TinyCenter(broker, answering=False) as center, BellInProcess(config) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.press()
        assert center.wait_for(lambda: len(center.deliveries) >= 2)
        assert len(set(center.deliveries)) == 1
        assert bell.status().bell.light == "calling"
        center.answering = True
        assert center.wait_for(lambda: center.alarms)
        bell.wait_for(light("received"))


@pytest.mark.parametrize("wrong", ["expired", "foreign"])
def test_a_refused_certificate_is_named_and_mending_it_needs_no_restart(broker, tmp_path, wrong):
    good = broker.shop.pole(POLE)
    bad = broker.shop.expired_pole("pole-late") if wrong == "expired" else broker.shop.foreign_pole(POLE)
    mine = Issued(POLE, tmp_path / "pole.crt", tmp_path / "pole.key", good.ca_file)
    install(bad, mine)
    with TinyCenter(broker) as center, BellInProcess(bell_config(tmp_path, broker.port, mine)) as bell:
        status = bell.wait_for(has_fault("link-refused"))
        (fault,) = [fault for fault in status.faults if fault.code == "link-refused"]
        assert "certificate" in fault.detail
        install(good, mine)
        bell.press()
        assert center.wait_for(lambda: center.alarms)
        bell.wait_for(lambda s: not has_fault("link-refused")(s))


def test_a_broker_of_another_authority_is_refused_by_the_pole(broker, tmp_path):
    config = bell_config(
        tmp_path, broker.port, broker.shop.pole(POLE), ca_file=broker.shop.foreign_directory / "ca.crt"
    )
    with BellInProcess(config) as bell:
        status = bell.wait_for(has_fault("link-refused"))
        assert "ca_file" in next(fault.detail for fault in status.faults if fault.code == "link-refused")


def test_a_button_held_at_boot_alarms(broker, config):
    with TinyCenter(broker) as center, BellInProcess(config, held=True):
        assert center.wait_for(lambda: center.alarms)
        (alarm,) = center.alarms.values()
        assert alarm.held_at_boot


def test_a_bad_payload_does_not_silence_the_bell(broker, config):
    with TinyCenter(broker) as center, BellInProcess(config) as bell:
        assert center.wait_for(lambda: center.statuses)
        for payload in (
            b"",
            b"\xff\xfe",
            b"[]",
            b'{"alarm_id": 1}',
            b'{"v": 99, "alarm_id": "x", "committed_at_us": 1}',
        ):
            center.send(topics.down(POLE, "receipt"), payload)
            center.send(topics.down(POLE, "answer"), payload)
            center.send(topics.CENTER_BEAT, payload)
        bell.wait_for(has_fault("message-invalid"))
        bell.press()
        assert center.wait_for(lambda: center.alarms)
        bell.wait_for(light("received"))


def test_a_cut_line_alarms_and_is_a_fault(broker, config):
    with TinyCenter(broker) as center, BellInProcess(config) as bell:
        bell.wait_for(lambda s: s.bell.line == "idle")
        bell.button.set("cut")
        assert center.wait_for(lambda: center.alarms)
        assert [alarm.line for alarm in center.alarms.values()] == ["cut"]
        bell.wait_for(has_fault("bell-line-cut"))


def test_the_heartbeat_carries_the_bell_and_says_when_health_is_silent(broker, config):
    with TinyCenter(broker) as center, BellInProcess(config):
        assert center.wait_for(lambda: len(center.heartbeats) >= 2)
        first, second = center.heartbeats[:2]
        assert (first.session, first.seq, second.seq) == (center.statuses[0].session, 1, 2)
        assert "health-silent" in [fault.code for fault in first.faults]
        assert second.bell.line == "idle"


def test_the_pole_says_online_and_in_order_offline(broker, config):
    with TinyCenter(broker) as center:
        with BellInProcess(config):
            assert center.wait_for(lambda: center.statuses)
        assert center.wait_for(lambda: len(center.statuses) == 2)
        online, offline = center.statuses
        assert (online.state, offline.state) == ("online", "offline")
        assert online.session == offline.session


def test_a_killed_pole_is_declared_offline_by_its_will(broker, config, tmp_path):
    with TinyCenter(broker) as center, BellProcess(config, tmp_path) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.kill()
        assert center.wait_for(lambda: center.statuses[-1].state == "offline")


def test_the_lamp_answers_and_the_alarm_goes_out_when_the_outbox_cannot_be_written(broker, config):
    config.state_dir.parent.mkdir(exist_ok=True)
    config.state_dir.write_text("a file where the folder should be")
    with TinyCenter(broker) as center, BellInProcess(config) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.wait_for(has_fault("outbox-unwritable"))
        bell.press()
        assert center.wait_for(lambda: center.alarms)
        bell.wait_for(light("received"))
        config.state_dir.unlink()
        bell.wait_for(lambda s: not has_fault("outbox-unwritable")(s))


def test_the_press_command_presses_a_simulated_pole(broker, config, tmp_path):
    with TinyCenter(broker) as center, BellProcess(config, tmp_path) as bell:
        bell.wait_for(lambda s: s.bell.line == "idle")
        press_bell(config.run_dir, 60)
        assert center.wait_for(lambda: center.alarms)
        ask_button(config.run_dir, {"line": "short"})
        bell.wait_for(has_fault("bell-line-short"))


def test_the_crew_s_key_is_told_at_once_and_a_press_meanwhile_is_real_and_says_so(broker, config):
    config = dataclasses.replace(config, bell=dataclasses.replace(config.bell, key_switch_pin=22))
    with TinyCenter(broker) as center, BellInProcess(config) as bell:
        assert center.wait_for(lambda: center.statuses)
        bell.wait_for(lambda s: s.bell.line == "idle")
        bell.pins.pin(22).drive_low()
        bell.wait_for(lambda s: s.bell.mode == "maintenance" and s.bell.mode_until_us > s.written_at_us)
        assert center.wait_for(lambda: center.heartbeats[-1].bell.mode == "maintenance")
        bell.press()
        assert center.wait_for(lambda: [alarm.mode for alarm in center.alarms.values()] == ["maintenance"])
        bell.pins.pin(22).drive_high()
        bell.wait_for(lambda s: s.bell.mode == "normal")


def test_an_unknown_host_is_named(tmp_path, certificates):  # noqa: F811
    config = bell_config(tmp_path, free_port(), certificates.pole(POLE), host="no-such-host.invalid")
    with BellInProcess(config) as bell:
        status = bell.wait_for(has_fault("broker-down"))
        assert "host name" in next(fault.detail for fault in status.faults if fault.code == "broker-down")


def install(issued: Issued, where: Issued) -> None:
    shutil.copy(issued.cert_file, where.cert_file)
    shutil.copy(issued.key_file, where.key_file)


def test_nothing_listens_but_the_sockets_of_this_host(config):
    """R-NET: the bell service opens no port of its own."""
    with BellInProcess(config) as bell:
        bell.wait_for(lambda s: s.bell.line == "idle")
        kinds = {connection.type for connection in _listening()}
        assert socket.SOCK_STREAM not in kinds


def _listening():
    import psutil

    return [c for c in psutil.Process().net_connections("inet") if c.status == psutil.CONN_LISTEN]
