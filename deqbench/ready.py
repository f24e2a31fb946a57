"""The console script, and the ready process of a run: it loads torch and diffusers once, and jobs are forked from it.

Loading takes a job some four seconds of one core. A job asked for with `DEQBENCH_READY` in its environment hands its
words, its folder, its environment and its standard streams to the process that listens there and ends as its fork ends.
"""

import contextlib
import gc
import importlib
import json
import os
import pkgutil
import shutil
import socket
import socketserver
import subprocess
import sys
import tempfile
import threading
from pathlib import Path

VARIABLE = "DEQBENCH_READY"
LOST = 137  # a fork that was killed, as shells say it


def main() -> None:
    """Runs the command line in a fork of the ready process if this run has one, else here."""
    code = _forked(os.environ[VARIABLE]) if VARIABLE in os.environ else None
    if code is None:
        from deqbench.cli import main

        return main()
    if code == LOST:
        print("deqbench: expected an exit code of this job's process; found it killed", file=sys.stderr)
    sys.exit(code)


def _forked(path: str) -> int | None:
    """The exit code of this command in a fork; None: nothing listens at that path, as on another machine."""
    with socket.socket(socket.AF_UNIX) as ready:
        try:
            ready.connect(path)
        except OSError:
            return None
        told = {"words": sys.argv, "folder": str(Path.cwd()), "environment": dict(os.environ)}
        try:
            socket.send_fds(ready, [b"\0"], [0, 1, 2])
            ready.sendall(json.dumps(told).encode() + b"\n")
            answer = ready.recv(1)
        except ConnectionError:  # it was killed before it had read this
            return LOST
    return answer[0] if answer else LOST


def start() -> subprocess.Popen[bytes] | None:
    """Starts the ready process of this one, which ends with it, and tells its children; None: jobs do without it.

    They do where forks after such imports are not safe, that is not on Linux, and where the folder for temporary files
    has too long a name for a socket.
    """
    if sys.platform != "linux":
        return None
    folder = tempfile.mkdtemp(prefix="deqbench-")
    with socket.socket(socket.AF_UNIX) as listening:  # from here on jobs may connect: they wait until it has loaded
        try:
            listening.bind(path := f"{folder}/ready")
        except OSError:
            shutil.rmtree(folder)
            return None
        listening.listen(socket.SOMAXCONN)
        os.environ[VARIABLE] = path
        told = [sys.executable, "-m", "deqbench.ready", folder, str(listening.fileno()), str(os.getpid())]
        return subprocess.Popen(
            told,
            pass_fds=[listening.fileno()],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            start_new_session=True,
        )


class _Job(socketserver.StreamRequestHandler):
    """One command, in a fork."""

    def handle(self) -> None:
        _, streams, *_ = socket.recv_fds(self.request, 1, 3)
        told = json.loads(self.rfile.readline())
        for number, stream in enumerate(streams):
            os.dup2(stream, number)
            os.close(stream)
        os.setsid()
        threading.Thread(target=self._end_with_client, daemon=True).start()
        os.chdir(told["folder"])
        os.environ.clear()
        os.environ.update(told["environment"])
        sys.argv = told["words"]
        self.wfile.write(bytes([_run()]))

    def _end_with_client(self) -> None:
        """Who asked sends nothing more, so this returns when it is gone: killed, or with the answer."""
        self.request.recv(1)
        os.killpg(0, 9)


def _run() -> int:
    """The exit code of `sys.argv`, with the threads that the libraries would have read from the environment."""
    import threadpoolctl
    import torch

    from deqbench.cli import main

    threads = os.environ.get("OMP_NUM_THREADS", "")
    if threads.isdigit():
        threadpoolctl.threadpool_limits(int(threads))
        torch.set_num_threads(int(threads))
    try:
        main()
        code = 0
    except SystemExit as left:
        code = left.code if isinstance(left.code, int) else int(left.code is not None)
    except BaseException:
        sys.excepthook(*sys.exc_info())
        code = 1
    sys.stdout.flush()
    sys.stderr.flush()
    return code


class _Ready(socketserver.ForkingMixIn, socketserver.UnixStreamServer):
    max_children = 10_000  # snakemake says how many jobs there are at a time

    def __init__(self, listening: socket.socket, parent: int) -> None:
        super().__init__(listening.getsockname(), _Job, bind_and_activate=False)
        self.socket.close()
        self.socket, self.parent = listening, parent

    def service_actions(self) -> None:
        super().service_actions()
        if os.getppid() != self.parent:
            sys.exit()


def _serve(folder: str, listening: int, parent: int) -> None:
    """Loads every module of this package and forks a job for each request, until its parent is gone."""
    try:
        package = importlib.import_module("deqbench")
        for module in pkgutil.walk_packages(package.__path__, "deqbench."):
            importlib.import_module(module.name)
        gc.collect()
        gc.freeze()
        with _Ready(socket.socket(fileno=listening), parent) as server:
            server.serve_forever()
    finally:
        with contextlib.suppress(OSError):
            shutil.rmtree(folder)


if __name__ == "__main__":
    _serve(sys.argv[1], *map(int, sys.argv[2:]))
