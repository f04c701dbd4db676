"""Whether a press is a test. Pure. When its topic and its words disagree, it is real: fail towards the alarm."""

from agent.contract.messages import Alarm

TEST_KIND = "test/alarm"


def breach(kind: str, alarm: Alarm) -> str:
    """Return what is wrong between the topic's `kind` and the alarm's mode, "" when they agree."""
    if kind == TEST_KIND and alarm.mode != "test":
        return f"alarm {alarm.alarm_id} of mode {alarm.mode} came on the test topic; it was taken as real"
    if kind != TEST_KIND and alarm.mode == "test":
        return f"alarm {alarm.alarm_id} of mode test came on the topic of real alarms; it was taken as real"
    return ""
