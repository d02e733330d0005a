"""The advisory service on loopback, which speaks OSV's protocol."""

from __future__ import annotations

import json
import threading
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any


class Advisories:
    """The advisory service on loopback: POST a package, get what is known of it (OSV)."""

    def __init__(self) -> None:
        self.known: dict[str, str] = {}
        self.broken: bytes | None = None
        self.asked: set[str] = set()

    def __enter__(self) -> Advisories:
        service = self

        class Handler(BaseHTTPRequestHandler):
            def log_message(self, *_: Any) -> None:
                pass

            def do_POST(self) -> None:
                query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                status, answer = service.answer(query["package"]["name"])
                self.send_response(status)
                self.send_header("Content-Length", str(len(answer)))
                self.end_headers()
                self.wfile.write(answer)

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=self.server.serve_forever, args=(0.02,), daemon=True).start()
        return self

    def __exit__(self, *_: Any) -> None:
        self.server.shutdown()
        self.server.server_close()

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_address[1]}/v1/query"

    def answer(self, package: str) -> tuple[int, bytes]:
        self.asked.add(package)
        if self.broken is not None:
            return 200 if self.broken else 500, self.broken
        if package not in self.known:
            return 200, b"{}"
        name = {"package": {"ecosystem": "PyPI", "name": package}, "versions": []}
        ranges = [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}]}]
        found = {
            "id": self.known[package],
            "details": "Weak.",
            "affected": [name | {"ranges": ranges}],
        }
        return 200, json.dumps({"vulns": [found]}).encode()
