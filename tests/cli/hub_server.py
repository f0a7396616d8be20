"""A hub of one's own: what the real client asks of a hub, answered from memory by a thread, and every request remembered."""

import hashlib
import json
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, unquote, urlsplit

LARGE = (".safetensors", ".bin", ".parquet")
"""Endings of files that git lfs keeps, by their sha256."""


def git_blob(data: bytes) -> str:
    """The id that git gives a content."""
    return hashlib.sha1(b"blob %d\0" % len(data) + data).hexdigest()


@dataclass
class Repository:
    """Commits with their files, and branches and tags that lead to them."""

    commits: dict[str, dict[str, bytes]] = field(default_factory=dict)
    branches: dict[str, str] = field(default_factory=dict)
    tags: dict[str, str] = field(default_factory=dict)
    gated: bool = False

    def commit(self, files: dict[str, bytes], branch: str = "main") -> str:
        """The branch moves to a new commit."""
        told = json.dumps({name: git_blob(data) for name, data in files.items()}, sort_keys=True)
        sha = hashlib.sha1(f"{len(self.commits)}{told}".encode()).hexdigest()
        self.commits[sha] = files
        self.branches[branch] = sha
        return sha

    def resolve(self, revision: str) -> str | None:
        """The commit of a branch, a tag or itself."""
        return self.branches.get(revision) or self.tags.get(revision) or (revision if revision in self.commits else None)


@dataclass
class Hub:
    """Repositories by `models/NAME` and `datasets/NAME`, what goes wrong, and what was asked."""

    url: str = ""
    repositories: dict[str, Repository] = field(default_factory=dict)
    token: str = "hf_granted"
    """The one that may read gated repositories."""
    cut: dict[str, int] = field(default_factory=dict)
    """By file: how many times its download still breaks in the middle."""
    altered: set[str] = field(default_factory=set)
    """Files of which other bytes come than the hub says."""
    status: int | None = None
    """What the hub answers to everything."""
    requests: list[tuple[str, str, dict[str, str]]] = field(default_factory=list)
    """Method, path, headers."""

    def asked(self, method: str, ending: str) -> list[dict[str, str]]:
        """The headers of all requests whose path ends so."""
        return [headers for verb, path, headers in self.requests if verb == method and urlsplit(path).path.endswith(ending)]

    @property
    def downloads(self) -> list[str]:
        """Names of the files that were sent, in order."""
        return [urlsplit(path).path.split("/resolve/")[1].split("/", 1)[1] for verb, path, _ in self.requests if _is_download(verb, path)]


def _is_download(verb: str, path: str) -> bool:
    return verb == "GET" and "/resolve/" in path


@contextmanager
def serving(hub: Hub) -> Iterator[Hub]:
    """The hub answers until the end of the block."""
    handler = type("Handler", (_Handler,), {"hub": hub})
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    hub.url = f"http://127.0.0.1:{server.server_port}"
    try:
        yield hub
    finally:
        server.shutdown()
        server.server_close()


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    hub: Hub

    def do_GET(self) -> None:
        self._answer()

    def do_HEAD(self) -> None:
        self._answer()

    def log_message(self, *words: Any) -> None:
        pass

    def _answer(self) -> None:
        self.hub.requests.append((self.command, self.path, {key.lower(): value for key, value in self.headers.items()}))
        path, query = unquote(urlsplit(self.path).path), parse_qs(urlsplit(self.path).query)
        if self.hub.status is not None:
            return self._send(self.hub.status, b"{}")
        if path in ("/api/models", "/api/datasets"):
            return self._search(path.removeprefix("/api/"), query.get("search", [""])[0])
        if refs := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)/refs", path):
            return self._refs(f"{refs[1]}/{refs[2]}")
        if info := re.fullmatch(r"/api/(models|datasets)/([^/]+/[^/]+)(?:/revision/(.+))?", path):
            return self._info(f"{info[1]}/{info[2]}", info[2], info[3] or "main")
        if file := re.fullmatch(r"/(datasets/)?([^/]+/[^/]+)/resolve/([^/]+)/(.+)", path):
            return self._file(f"{'datasets' if file[1] else 'models'}/{file[2]}", file[3], file[4])
        return self._send(404, b"{}")

    def _found(self, key: str, revision: str) -> tuple[str, dict[str, bytes]] | None:
        """The commit and its files; None where the refusal was sent."""
        repository = self.hub.repositories.get(key)
        authorization = self.headers.get("authorization")
        if repository is None:
            # As the hub does it: who is not logged in shall not learn what exists.
            self._send(401 if authorization is None else 404, b"{}", {"X-Error-Code": "RepoNotFound"})
        elif repository.gated and authorization != f"Bearer {self.hub.token}":
            self._send(401 if authorization is None else 403, b"{}", {"X-Error-Code": "GatedRepo"})
        elif (commit := repository.resolve(revision)) is None:
            self._send(404, b"{}", {"X-Error-Code": "RevisionNotFound"})
        else:
            return commit, repository.commits[commit]
        return None

    def _search(self, kind: str, text: str) -> None:
        names = [key.removeprefix(f"{kind}/") for key in self.hub.repositories if key.startswith(kind)]
        self._send(200, json.dumps([{"id": name} for name in names if text.lower() in name.lower()]).encode())

    def _refs(self, key: str) -> None:
        repository = self.hub.repositories[key]

        def told(kind: str, refs: dict[str, str]) -> list[dict[str, str]]:
            return [{"name": name, "ref": f"refs/{kind}/{name}", "targetCommit": sha} for name, sha in refs.items()]

        answer = {"branches": told("heads", repository.branches), "tags": told("tags", repository.tags), "converts": []}
        self._send(200, json.dumps(answer).encode())

    def _info(self, key: str, name: str, revision: str) -> None:
        found = self._found(key, revision)
        if found is not None:
            siblings = [_sibling(file, data) for file, data in found[1].items()]
            self._send(200, json.dumps({"id": name, "sha": found[0], "siblings": siblings}).encode())

    def _file(self, key: str, revision: str, name: str) -> None:
        found = self._found(key, revision)
        if found is None:
            return None
        commit, files = found
        if name not in files:
            return self._send(404, b"{}", {"X-Error-Code": "EntryNotFound", "X-Repo-Commit": commit})
        data = files[name]
        large = name.endswith(LARGE)
        etag = hashlib.sha256(data).hexdigest() if large else git_blob(data)
        headers = {"ETag": f'"{etag}"', "X-Repo-Commit": commit, "Accept-Ranges": "bytes"}
        if large:
            headers |= {"X-Linked-Etag": f'"{etag}"', "X-Linked-Size": str(len(data))}
        if name in self.hub.altered:
            data = bytes(byte ^ 1 for byte in data)
        start = re.fullmatch(r"bytes=(\d+)-", self.headers.get("range", ""))
        if start is None:
            return self._send(200, data, headers, broken=self._breaks(name))
        first = int(start[1])
        headers["Content-Range"] = f"bytes {first}-{len(data) - 1}/{len(data)}"
        return self._send(206, data[first:], headers, broken=self._breaks(name))

    def _breaks(self, name: str) -> bool:
        if self.command != "GET" or not self.hub.cut.get(name, 0):
            return False
        self.hub.cut[name] -= 1
        return True

    def _send(self, status: int, data: bytes, headers: dict[str, str] | None = None, *, broken: bool = False) -> None:
        self.send_response(status)
        for key, value in {"Content-Length": str(len(data)), **(headers or {})}.items():
            self.send_header(key, value)
        self.end_headers()
        if self.command == "GET":
            self.wfile.write(data[: len(data) // 2] if broken else data)
        if broken:
            self.close_connection = True


def _sibling(name: str, data: bytes) -> dict[str, Any]:
    lfs = {"size": len(data), "sha256": hashlib.sha256(data).hexdigest(), "pointerSize": 130}
    return {"rfilename": name, "size": len(data), "blobId": git_blob(data), **({"lfs": lfs} if name.endswith(LARGE) else {})}
