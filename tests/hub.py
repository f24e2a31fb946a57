"""A hub of checkpoints on this machine's loopback, which can be told to misbehave.

Run as a program it is the other end: `python -m tests.hub CASES RESULTS` runs commands, a list of words each, in one
process. The client reads its address from the environment when it is first imported, which takes seconds.
"""

import hashlib
import json
import sys
import threading
from collections.abc import Callable
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any
from urllib.parse import unquote, urlsplit

COMMIT = "0123456789abcdef0123456789abcdef01234567"
# What a fault makes of a file's bytes; the listing of the repository still tells the truth.
SPOILT: dict[str, Callable[[bytes], bytes]] = {
    "garbage": lambda content: b"<html>please log in</html>",
    "half": lambda content: content[: len(content) // 2],
    "wrong byte": lambda content: content[:-5] + bytes([content[-5] ^ 1]) + content[-4:],
}


class Hub:
    """A server of repositories, folders by name. Faults by name: 500, cut (always, halfway), or one of SPOILT.

    A fault strikes the repository's weights; 500 strikes every answer about the repository.
    """

    def __init__(self) -> None:
        self.repositories: dict[str, Path] = {}
        self.faults: dict[str, str] = {}
        self.requests: list[str] = []
        self.server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.server.daemon_threads = True
        threading.Thread(target=self.server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True).start()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def close(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def _handler(hub: "Hub") -> type[BaseHTTPRequestHandler]:
        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_GET(self) -> None:
                self.answer(with_body=True)

            def do_HEAD(self) -> None:
                self.answer(with_body=False)

            def log_message(self, *words: Any) -> None:
                pass

            def answer(self, with_body: bool) -> None:
                path = unquote(urlsplit(self.path).path).strip("/")
                hub.requests.append(f"{self.command} {path}")
                words = path.removeprefix("api/models/").split("/")
                name, rest = "/".join(words[:2]), words[2:]
                if hub.faults.get(name) == "500":
                    return self.send(500, b"{}", with_body)
                if name not in hub.repositories:
                    return self.send(404, b"{}", with_body, {"X-Error-Code": "RepoNotFound"})
                if not path.startswith("api/"):
                    return self.send_file(name, "/".join(rest[2:]), with_body)
                about = tree(hub.repositories[name]) if rest[:1] == ["tree"] else card(name, hub.repositories[name])
                self.send(200, json.dumps(about).encode(), with_body, {"Content-Type": "application/json"})

            def send_file(self, name: str, file: str, with_body: bool) -> None:
                path, fault = hub.repositories[name] / file, hub.faults.get(name)
                if not path.is_file():
                    return self.send(404, b"", with_body, {"X-Error-Code": "EntryNotFound"})
                content = path.read_bytes()
                strikes = file.endswith(".safetensors")
                if strikes and fault in SPOILT:
                    content = SPOILT[fault](content)
                headers = {"ETag": f'"{hashlib.sha256(content).hexdigest()}"', "X-Repo-Commit": COMMIT}
                self.send(200, content, with_body, headers, cut=strikes and fault == "cut")

            def send(
                self,
                code: int,
                content: bytes,
                with_body: bool,
                headers: dict[str, str] | None = None,
                cut: bool = False,
            ) -> None:
                self.send_response(code)
                for key, value in {**(headers or {}), "Content-Length": str(len(content))}.items():
                    self.send_header(key, value)
                self.end_headers()
                if with_body:
                    self.wfile.write(content[: len(content) // 2] if cut else content)
                self.close_connection = cut

        return Handler


def files(folder: Path) -> list[Path]:
    return sorted(path for path in folder.rglob("*") if path.is_file())


def card(name: str, folder: Path) -> dict[str, Any]:
    """What the hub says of a repository."""
    siblings = [{"rfilename": path.relative_to(folder).as_posix()} for path in files(folder)]
    return {"_id": "0", "id": name, "modelId": name, "sha": COMMIT, "private": False, "tags": [], "siblings": siblings}


def tree(folder: Path) -> list[dict[str, Any]]:
    """The hub's listing: large files with their sha256, the others with git's sum."""
    entries: list[dict[str, Any]] = []
    for path in files(folder):
        content = path.read_bytes()
        oid = hashlib.sha1(b"blob %d\0" % len(content) + content).hexdigest()
        entry = {"type": "file", "oid": oid, "size": len(content), "path": path.relative_to(folder).as_posix()}
        if path.suffix in (".safetensors", ".bin"):
            entry["lfs"] = {"oid": hashlib.sha256(content).hexdigest(), "size": len(content), "pointerSize": 134}
        entries.append(entry)
    return entries


def main(cases: str, results: str) -> None:
    import time

    from huggingface_hub import constants

    from tests.command_line import run

    constants.DOWNLOAD_CHUNK_SIZE = 16384  # our small files are then met like large ones, in pieces
    time.sleep = lambda seconds: None  # between the client's tries
    ran = {name: vars(run(*words)) for name, words in json.loads(Path(cases).read_text()).items()}
    Path(results).write_text(json.dumps(ran))


if __name__ == "__main__":
    main(*sys.argv[1:])
