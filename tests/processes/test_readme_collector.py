"""The collector of README runs as printed, and shows something."""

import re
import subprocess
import sys
from pathlib import Path

import httpx2

from tests.support.processes import COLLECTOR_TOKEN, LOOKING, service

README = Path(__file__).parents[2] / "README.md"
TOKEN = "the collector's token"


def test_the_collector_of_readme_sends_a_scene_and_says_so(
    environment: dict[str, str], port: int, tmp_path: Path
) -> None:
    (program,) = [
        block
        for block in re.findall(r"```python\n(.*?)```", README.read_text(encoding="utf-8"), re.DOTALL)
        if TOKEN in block
    ]
    with service(environment, port=port, folder=tmp_path) as running:
        here = program.replace("http://127.0.0.1:8000", running.url).replace(TOKEN, COLLECTOR_TOKEN)
        done = subprocess.run([sys.executable, "-c", here], capture_output=True, text=True, timeout=90, check=False)
        assert (done.returncode, done.stdout, done.stderr) == (0, f"kept: look at {running.url}/\n", "")
        (found,) = httpx2.get(f"{running.url}/v1/detections", headers=LOOKING, timeout=30).json()["items"]
    assert found["plate"] == "AB123CD"
    assert set(found["images"]) == {"full", "crop"}
