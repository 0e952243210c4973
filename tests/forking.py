"""run, as subprocess.run, but a plain call of the command forks where its imports are done already.

They are most of a small run's time. What a fork might hide (an environment, a limit, closed
streams, signals, memory) has a process of its own. So has every call on Windows, which has no fork,
and on macOS, some of whose libraries do not bear one.
"""

import atexit
import concurrent.futures
import functools
import importlib
import itertools
import json
import os
import pathlib
import signal
import socket
import subprocess
import sys
import types

TOP = pathlib.Path(__file__).resolve().parent.parent
SCRIPT = TOP / "hash_and_search.py"


def environment():
    return {name: value for name, value in os.environ.items() if name != "PYTEST_CURRENT_TEST"}


@functools.cache
def servers():
    """Two, to be asked in turn: each orders sets in its own way, as two runs of Python do."""
    return itertools.cycle([start_server(), start_server()])


def start_server():
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        number = theirs.fileno()
        arguments = [sys.executable, __file__, str(number)]
        pipes = {"stdout": subprocess.PIPE, "stderr": subprocess.PIPE}  # as its children's are
        process = subprocess.Popen(arguments, pass_fds=[number], **pipes)
    atexit.register(stop_server, ours, process)
    return ours


def stop_server(calls, process):
    calls.close()  # which it takes for the end
    process.communicate()


def run(arguments, cwd=None, capture_output=False, text=False, check=False, timeout=None, **more):
    """Return and raise what subprocess.run does."""
    is_plain = list(arguments[:2]) == [sys.executable, SCRIPT] and capture_output and not more
    if not (sys.platform == "linux" and is_plain and environment() == STARTED):
        more.update(cwd=cwd, capture_output=capture_output, text=text, timeout=timeout)
        return subprocess.run(arguments, check=check, **more)
    done = forked(arguments, cwd or os.getcwd(), "r" if text else "rb", timeout)
    if check:
        done.check_returncode()
    return done


def forked(arguments, cwd, mode, timeout):
    """Return or raise what a call does that a server is asked for; mode is that of its streams."""
    call = json.dumps([os.fspath(cwd), [os.fsdecode(each) for each in arguments[1:]]]).encode()
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    (out, child_out), (err, child_err) = os.pipe(), os.pipe()
    with theirs:
        socket.send_fds(next(servers()), [call], [0, child_out, child_err, theirs.fileno()])
    os.close(child_out)
    os.close(child_err)
    with ours, concurrent.futures.ThreadPoolExecutor(2) as pool:
        streams = [pool.submit(read, end, mode) for end in (out, err)]
        child = int(ours.recv(99))
        ours.settimeout(timeout)
        try:
            status = int(ours.recv(99))
        except TimeoutError:
            os.kill(child, signal.SIGKILL)
            ours.settimeout(None)
            ours.recv(99)  # so that whoever tells its status finds somebody there
            raise subprocess.TimeoutExpired(arguments, timeout) from None
    return subprocess.CompletedProcess(arguments, status, *(each.result() for each in streams))


def read(end, mode):
    with open(end, mode) as file:
        return file.read()


def serve(calls):
    """Fork for each call, and tell the child's number and its status; return in the child."""
    while True:
        message, ends, _, _ = socket.recv_fds(calls, 2**20, 4)
        if not message:
            sys.exit()
        child = os.fork()
        if child == 0:
            for number, end in enumerate(ends[:3]):
                os.dup2(end, number)
            become(ends, *json.loads(message))
            return
        with socket.socket(fileno=ends.pop()) as answer:
            answer.send(b"%d" % child)
            for end in ends:
                os.close(end)
            answer.send(b"%d" % os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]))


def become(ends, cwd, arguments):
    """Have the streams, the directory and the arguments of a call."""
    for end in ends:
        os.close(end)
    os.chdir(cwd)
    sys.argv = arguments


if __name__ == "__main__":
    sys.path[0] = str(TOP)
    code = compile(SCRIPT.read_bytes(), SCRIPT, "exec")
    exec(code, {"__name__": "imported", "__file__": str(SCRIPT)})  # for its imports
    with socket.socket(fileno=int(sys.argv[1])) as calls:
        serve(calls)
    sys.modules["__main__"] = types.ModuleType("__main__")
    sys.modules["__main__"].__file__ = str(SCRIPT)
    exec(code, vars(sys.modules["__main__"]))
else:
    sys.path.insert(0, str(TOP))
    importlib.import_module("hash_and_search")  # which sets what OpenCV and NumPy read
    STARTED = environment()
