"""A stand-in for the W&B server on the loopback address: what wandb asks of it while a run is mirrored."""

from __future__ import annotations

import gzip
import json
import re
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any, Literal

ARTIFACT = {
    "id": "a",
    "artifactSequence": {"name": "model", "project": None},
    "versionIndex": 0,
    "artifactType": {"name": "model"},
    "description": None,
    "metadata": None,
    "ttlDurationSeconds": -1,
    "ttlIsInherited": True,
    "tags": [],
    "historyStep": None,
    "state": "COMMITTED",
    "size": 9,
    "digest": "d",
    "commitHash": None,
    "fileCount": 1,
    "createdAt": "2026-03-01T10:15:00",
    "updatedAt": None,
}
"""What the server tells of any artifact that it is asked for."""

Behaviour = Literal["well", "error", "denial", "refusal", "silence", "cut", "loss"]


class WandbServer(ThreadingHTTPServer):
    """`runs` holds what was sent, by the run's id.

    `behaviour` may turn to HTTP 500 (error), HTTP 401 (denial), HTTP 403 for rows alone (refusal), no answer at
    all (silence), or connections that are closed at once (cut); at `loss`, the next rows are kept and their connection
    is closed before the answer. It turns by itself when a run has as many rows as `falls` says first. `lines` counts
    the rows that came.
    """

    daemon_threads = True

    def __init__(self, port: int = 0) -> None:
        super().__init__(("127.0.0.1", port), _Conversation)
        self.behaviour: Behaviour = "well"
        self.falls: tuple[int, Behaviour] | None = None
        self.lines = 0
        self.runs: dict[str, dict[str, Any]] = {}
        self.files: dict[str, bytes] = {}
        self.artifacts: list[dict[str, Any]] = []

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server_address[1]}"

    def run(self, name: str) -> dict[str, Any]:
        return self.runs.setdefault(name, {"history": [], "summary": {}, "config": "{}", "exit": None})

    def handle_error(self, *_: Any) -> None:
        """Connections that the other side broke are no news."""


@contextmanager
def wandb_server(port: int = 0) -> Iterator[WandbServer]:
    server = WandbServer(port)
    threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05}, daemon=True).start()
    try:
        yield server
    finally:
        server.shutdown()
        server.server_close()


class _Conversation(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"
    server: WandbServer

    def log_message(self, *_: Any) -> None:
        pass

    def do_GET(self) -> None:
        self._answer({})

    def do_PUT(self) -> None:
        self.server.files[self.path] = self._body()
        self._answer({})

    def do_POST(self) -> None:
        body = self._body()
        if self.server.behaviour == "silence":
            time.sleep(60)
        elif self.server.behaviour == "cut":
            self.close_connection = True
        elif self.server.behaviour == "error":
            self._answer({"errors": [{"message": "out of order"}]}, 500)
        elif self.server.behaviour == "denial":
            self._answer({"errors": [{"message": "the key is wrong"}]}, 401)
        elif stream := re.fullmatch(r"/files/[^/]+/[^/]+/([^/]+)/file_stream", self.path):
            if self.server.behaviour == "refusal":
                return self._answer({"errors": [{"message": "not yours"}]}, 403)
            self._stream(stream[1], json.loads(body))
        elif self.path == "/graphql":
            question = json.loads(body)
            name = re.search(r"(?:query|mutation)\s+(\w+)", question["query"])
            assert name
            self._answer({"data": self._graphql(name[1], question.get("variables") or {})})
        else:
            self._answer({})

    def _stream(self, name: str, told: dict[str, Any]) -> None:
        run = self.server.run(name)
        for file, chunk in (told.get("files") or {}).items():
            lines = [json.loads(line) for line in chunk["content"]] if file.startswith("wandb-") else []
            if file == "wandb-history.jsonl":
                self.server.lines += len(lines)
                run["history"][chunk["offset"] : chunk["offset"] + len(lines)] = lines
            elif file == "wandb-summary.json":
                run["summary"] = lines[-1]
        if self.server.falls and len(run["history"]) >= self.server.falls[0]:
            self.server.behaviour, self.server.falls = self.server.falls[1], None
        if told.get("complete") is not None:
            run["exit"] = told.get("exitcode")
        if self.server.behaviour == "loss" and "wandb-history.jsonl" in (told.get("files") or {}):
            self.server.behaviour, self.close_connection = "well", True
        else:
            self._answer({"limits": {}})

    def _graphql(self, name: str, variables: dict[str, Any]) -> dict[str, Any]:
        if name == "UpsertBucket":
            return {"upsertBucket": self._upsert(variables)}
        if name == "RunResumeStatus":
            project = {"id": "p", "name": variables.get("project"), "entity": {"id": "e", "name": "team"}}
            return {"model": {**project, "bucket": self._resume_status(variables["name"])}}
        if name == "CreateRunFiles":
            folder = f"{self.server.url}/upload/{variables['run']}"
            files = [{"name": file, "uploadUrl": f"{folder}/{file}"} for file in variables["files"]]
            return {"createRunFiles": {"runID": variables["run"], "uploadHeaders": [], "files": files}}
        if name == "CreateArtifact":  # one that the server has already: nothing more is asked
            self.server.artifacts.append(variables.get("input") or variables)
            sequence = {"id": "sequence", "latestArtifact": None}
            return {"createArtifact": {"artifact": {"id": "a", "state": "COMMITTED", "artifactSequence": sequence}}}
        if name == "Run":
            return {"project": {"run": self._told(variables["name"])}}
        viewer = {"id": "u", "entity": "team", "username": "someone", "flags": "{}", "teams": {"edges": []}}
        fixed: dict[str, dict[str, Any]] = {
            "Viewer": {"viewer": viewer},
            "GetDefaultEntity": {"viewer": viewer},
            "ArtifactByID": {"artifact": ARTIFACT},
            "ArtifactType": {"project": {"artifact": None}},
            "RunStoppedStatus": {"project": {"run": {"stopped": False}}},
        }
        return fixed.get(name, {})

    def _upsert(self, variables: dict[str, Any]) -> dict[str, Any]:
        name = variables.get("name") or variables["id"]
        inserted = name not in self.server.runs
        run = self.server.run(name)
        run |= {key: value for key, value in variables.items() if value is not None}
        project = {"id": "p", "name": variables.get("project"), "entity": {"id": "e", "name": "team"}}
        bucket = {"id": f"id-{name}", "name": name, "displayName": run.get("displayName"), "description": ""}
        bucket |= {"sweepName": None, "config": run["config"], "historyLineCount": len(run["history"])}
        return {"bucket": {**bucket, "project": project}, "inserted": inserted}

    def _told(self, name: str) -> dict[str, Any] | None:
        """A run as wandb.Api asks for it."""
        if name not in self.server.runs:
            return None
        count = {"historyLineCount": len(self.server.runs[name]["history"])}
        return {"id": f"id-{name}", "name": name, "projectId": "1", "state": "finished", **count}

    def _resume_status(self, name: str) -> dict[str, Any] | None:
        if name not in self.server.runs:
            return None
        run = self.server.runs[name]
        tail = [json.dumps(run["history"][-1])] if run["history"] else []
        counts = {"logLineCount": 0, "eventsLineCount": 0, "historyLineCount": len(run["history"])}
        texts = {"summaryMetrics": json.dumps(run["summary"]), "config": run["config"], "eventsTail": "[]"}
        bucket = {"id": f"id-{name}", "name": name, "displayName": name, "tags": [], "wandbConfig": '{"t": 1}'}
        return {**bucket, **counts, **texts, "historyTail": json.dumps(tail)}

    def _body(self) -> bytes:
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        return gzip.decompress(body) if self.headers.get("Content-Encoding") == "gzip" else body

    def _answer(self, value: dict[str, Any], status: int = 200) -> None:
        body = json.dumps(value).encode()
        self.send_response(status)
        self.send_header("Content-Type", "application/json")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)
