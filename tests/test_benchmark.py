"""The benchmark runs: whatever contenders are installed, and with few photographs."""

import shutil
import subprocess
import sys

from conftest import TOP, draw, put


def test_the_benchmark_runs(tmp_path):
    for seed in range(6):
        put(tmp_path / "photos" / f"{seed}.jpg", draw(seed, 640, 480))
    done = subprocess.run(
        [
            sys.executable,
            TOP / "tests" / "benchmark.py",
            "--quick",
            "--photos",
            tmp_path / "photos",
        ],
        capture_output=True,
        text=True,
    )
    assert done.returncode == 0, done.stderr
    assert "| the article's pipeline |" in done.stdout and "| mean |" in done.stdout
    assert shutil.which("djpeg") or "not installed" in done.stdout
