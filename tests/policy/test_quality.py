"""R-QUALITY: stored video has at least 320x240 and 15 fps: refused in the configuration, a fault at run time."""

from pathlib import Path

import pytest

from agent.config_file import load_config
from agent.contract.messages import CameraReading
from agent.errors import ConfigError
from agent.health.judgement import judge_camera

EXAMPLE = Path(__file__).parents[2] / "docs" / "guide" / "pole.toml.example"


@pytest.mark.parametrize(("found", "instead"), [("1920", "319"), ("1080", "239"), ("fps = 30", "fps = 14")])
def test_the_configuration_refuses_less(tmp_path, found, instead):
    path = tmp_path / "pole.toml"
    path.write_text(EXAMPLE.read_text(encoding="utf-8").replace(found, instead, 1), encoding="utf-8")
    with pytest.raises(ConfigError, match="R-QUALITY"):
        load_config(path)


def test_the_floor_itself_is_legal(tmp_path):
    text = EXAMPLE.read_text(encoding="utf-8")
    text = text.replace("1920", "320", 1).replace("1080", "240", 1).replace("fps = 30", "fps = 15", 1)
    path = tmp_path / "pole.toml"
    path.write_text(text, encoding="utf-8")
    camera = load_config(path).cameras[0]
    assert (camera.width, camera.height, camera.fps) == (320, 240, 15)


def quality_stands(width: int, height: int, fps: float) -> bool | None:
    reading = CameraReading(state="recording", source="rtsp", width=width, height=height, fps=fps)
    verdicts = {verdict.code: verdict.stands for verdict in judge_camera("front", reading)}
    return verdicts["quality-below-legal"]


@pytest.mark.parametrize(("width", "height", "fps"), [(319, 240, 30.0), (320, 239, 30.0), (1920, 1080, 14.0)])
def test_less_at_run_time_is_a_fault(width, height, fps):
    assert quality_stands(width, height, fps) is True


def test_a_camera_at_the_floor_is_no_fault():
    assert quality_stands(320, 240, 15.0) is False
