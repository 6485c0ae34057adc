"""A web server on loopback: files with byte ranges, and a STAC API over a list of items."""

from __future__ import annotations

import json
import re
import threading
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from urllib.parse import urlsplit

PAGE = 2
"""Items that the API gives at a time."""


class Handler(BaseHTTPRequestHandler):
    """Serves the server's folder, and its items under /api."""

    protocol_version = "HTTP/1.1"

    def log_message(self, *_):
        pass

    def do_HEAD(self):
        self.reply(head=True)

    def do_GET(self):
        self.reply()

    def do_POST(self):
        body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.asked.append(body)
        self.send(200, json.dumps(self.search(body)).encode(), "application/geo+json")

    def search(self, body):
        west, south, east, north = body["bbox"]
        period = [stamp[:10] for stamp in body.get("datetime", "0000-00-00/9999-99-99").split("/")]
        found = [
            item for item in self.server.items
            if item["bbox"][0] <= east and item["bbox"][2] >= west and item["bbox"][1] <= north
            and item["bbox"][3] >= south and period[0] <= item["properties"]["datetime"][:10] <= period[1]
            and item["collection"] in body.get("collections", [item["collection"]])
        ]  # fmt: skip
        start = body.get("page", 0) * PAGE
        more = {"rel": "next", "method": "POST", "href": f"{self.root}/search", "merge": True,
                "body": {"page": body.get("page", 0) + 1}}  # fmt: skip
        links = [more] if len(found) > start + PAGE else []
        return {"type": "FeatureCollection", "features": found[start : start + PAGE], "links": links}

    @property
    def root(self):
        return f"http://127.0.0.1:{self.server.server_port}/api"

    def landing(self):
        links = [{"rel": "self", "href": self.root}, {"rel": "root", "href": self.root}]
        links.append({"rel": "search", "href": f"{self.root}/search", "type": "application/geo+json", "method": "POST"})
        conforms = ["core", "item-search", "item-search#query", "ogcapi-features"]
        return {
            "type": "Catalog", "id": "loopback", "stac_version": "1.0.0", "description": "test", "links": links,
            "conformsTo": [f"https://api.stacspec.org/v1.0.0/{name}" for name in conforms],
        }  # fmt: skip

    def reply(self, head=False):
        path = urlsplit(self.path).path
        if path.rstrip("/") == "/api":
            return self.send(200, json.dumps(self.landing()).encode(), "application/json", head)
        place = self.server.folder / path.lstrip("/")
        if self.server.index and place.is_dir():
            names = sorted(f"{p.name}/" if p.is_dir() else p.name for p in place.iterdir())
            page = "".join(f'<a href="{name}">{name}</a>\n' for name in names)
            return self.send(200, f"<html>{page}</html>".encode(), "text/html", head)
        if not place.is_file():
            return self.send(404, b"<html>nothing here</html>", "text/html", head)
        data, total = place.read_bytes(), place.stat().st_size
        span = re.match(r"bytes=(\d+)-(\d*)", self.headers.get("Range", ""))
        extra = {"Accept-Ranges": "bytes", "ETag": f'"{hash(data)}"'}
        if span and not head:
            first, last = int(span[1]), min(int(span[2] or total), total - 1)
            extra["Content-Range"] = f"bytes {first}-{last}/{total}"
            data = data[first : last + 1]
        self.server.served += 0 if head else len(data)
        return self.send(206 if "Content-Range" in extra else 200, data, "application/octet-stream", head, extra)

    def send(self, status, data, kind, head=False, extra=None):
        self.send_response(status)
        for key, value in ({"Content-Type": kind, "Content-Length": str(len(data))} | (extra or {})).items():
            self.send_header(key, value)
        self.end_headers()
        if not head and len(data) > self.server.break_off and self.server.breaks_left > 0:
            self.server.breaks_left -= 1
            data, self.close_connection = data[: self.server.break_off], True
        if not head:
            half = len(data) // 2 if self.server.halfway else len(data)
            self.wfile.write(data[:half])
            if half < len(data):
                self.server.halfway()
                self.wfile.write(data[half:])


@contextmanager
def serve(folder: Path, handler=Handler):
    """Serve a folder; the server has ``url``, ``items`` of its API, what was ``asked`` of it and bytes ``served``.

    It lists folders unless ``index`` is False, breaks off after ``break_off`` bytes as often as ``breaks_left``, and
    calls ``halfway`` when it has sent half of an answer.
    """
    server = ThreadingHTTPServer(("127.0.0.1", 0), handler)
    server.folder, server.items, server.asked, server.served, server.index = folder, [], [], 0, True
    server.halfway = None
    server.break_off, server.breaks_left = 1 << 60, 1 << 30
    server.url = f"http://127.0.0.1:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.02}, daemon=True)
    thread.start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()
        thread.join()
