"""The calls of the other tests: one that forks does and tells what one of its own process does."""

import os
import subprocess
import sys

import pytest

import forking
from conftest import command, draw, encode, put

is_forking = pytest.mark.skipif(sys.platform != "linux", reason="no call forks there")


@pytest.fixture
def forks(monkeypatch):
    """The calls that forked."""
    calls, forked = [], forking.forked
    monkeypatch.setattr(forking, "forked", lambda *call: calls.append(call) or forked(*call))
    return calls


@is_forking
@pytest.mark.parametrize("text", [False, True])
@pytest.mark.parametrize(
    "arguments",
    [
        ["-a", "haystack", "-n", "needles", "--report", "list.txt"],
        ["-a", "haystack", "-n", "needles", "--exit-code"],
        ["-a", "nirgends, où\n", "-n", "needles"],
        ["--help"],
    ],
)
def test_a_fork_returns_what_a_process_of_its_own_does(tree, forks, arguments, text):
    put(tree.needles / "Été" / "a.jpg", draw(50))
    put(tree.needles / "x" / "1.jpg", encode(draw(1)) + b" ")
    outcomes = []
    for run in (subprocess.run, forking.run):
        (tree.path / "list.txt").unlink(missing_ok=True)
        done = run(command(*arguments), cwd=tree.path, capture_output=True, text=text)
        out = done.stdout.partition("processed" if text else b"processed")[::2]
        out = out[0], out[1].partition("seconds" if text else b"seconds")[2]
        files = sorted(path.name for path in tree.path.iterdir())
        outcomes.append((done.args, done.returncode, out, done.stderr, files))
    assert outcomes[0] == outcomes[1] and len(forks) == 1


@is_forking
def test_a_fork_raises_what_a_process_of_its_own_does(tree, forks):
    for run in (subprocess.run, forking.run):
        with pytest.raises(subprocess.CalledProcessError) as failed:
            run(command("-a", "nowhere"), capture_output=True, check=True)
        assert failed.value.returncode == 2 and failed.value.stderr.startswith(b"[ERROR] ")
        with pytest.raises(subprocess.TimeoutExpired):
            call = command("-a", "haystack", "-n", "needles")
            run(call, cwd=tree.path, capture_output=True, timeout=0.001)
    assert len(forks) == 2
    for _ in range(2):  # and the next calls, of the one server and the other, are none the worse
        assert tree.run().status == 0
    assert len(forks) == 4


def test_what_a_fork_might_hide_has_a_process_of_its_own(tree, forks, monkeypatch):
    call = command("-a", "haystack", "-n", "nowhere")
    assert tree.run("--version", env={**os.environ}).status == 0
    assert forking.run([sys.executable, "-c", ""], capture_output=True).returncode == 0
    assert forking.run(call, cwd=tree.path, stdout=subprocess.PIPE).returncode == 2
    monkeypatch.setenv("OPENCV_IO_MAX_IMAGE_PIXELS", "none")
    assert tree.run().status not in (0, 2)
    assert forks == []
