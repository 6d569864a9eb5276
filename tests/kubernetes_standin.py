"""A stand-in for the Kubernetes API server, over real TLS: one deployment, its pods and their logs. It is no
Kubernetes: it answers as the reference says that one does, and plays a rollout in the steps that a test gives it."""

import contextlib
import json
import ssl
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any
from urllib.parse import parse_qs, urlsplit

TOKEN = "s3cr3t-token"
DEPLOYMENT = "/apis/apps/v1/namespaces/shop/deployments/photos"
PODS = "/api/v1/namespaces/shop/pods"


def deployment(*, generation: int = 1, observed: int = 1, wanted: int = 3, replicas: int = 3,
               updated: int = 3, available: int = 3, progress: str = "NewReplicaSetAvailable",
               **spec: Any) -> dict[str, Any]:  # fmt: skip
    """A Deployment object; further arguments are parts of its spec."""
    return {
        "kind": "Deployment",
        "apiVersion": "apps/v1",
        "metadata": {"name": "photos", "namespace": "shop", "generation": generation, "resourceVersion": "714"},
        "spec": {"replicas": wanted, "selector": {"matchLabels": {"app": "photos"}}, "template": {}, **spec},
        "status": {
            "observedGeneration": observed,
            "replicas": replicas,
            "updatedReplicas": updated,
            "availableReplicas": available,
            "conditions": [
                {"type": "Available", "status": "True", "reason": "MinimumReplicasAvailable"},
                {"type": "Progressing", "status": "True", "reason": progress, "message": f"it is {progress}"},
            ],
        },
    }


def pod(name: str, *, ready: bool = True, restarts: int = 0, waiting: str = "", exit_code: int | None = None,
        reason: str = "Error") -> dict[str, Any]:  # fmt: skip
    """A Pod object with one container."""
    last = {} if exit_code is None else {"terminated": {"exitCode": exit_code, "reason": reason}}
    state = {"waiting": {"reason": waiting}} if waiting else {"running": {}}
    container = {"name": "web", "ready": ready, "restartCount": restarts, "state": state, "lastState": last}
    return {"metadata": {"name": name}, "status": {"phase": "Running", "containerStatuses": [container]}}


class ApiServer:
    """What the stand-in has and what it was asked. `steps` is what it says of the deployment after the patch, one for
    each question, the last one again and again: an object, or the status of a refusal."""

    def __init__(self) -> None:
        self.now: dict[str, Any] = deployment()
        self.steps: list[dict[str, Any] | int] = []
        self.pods: list[dict[str, Any]] = []
        self.refuse: dict[str, int] = {}  # by method or path: the status instead of an answer
        self.patches: list[Any] = []
        self.asked: list[str] = []
        self.hold = threading.Event()  # until it is set, methods in `hang` are not answered
        self.hang: set[str] = set()
        self.url = ""

    def answer(self, method: str, path: str, query: dict[str, list[str]], body: bytes) -> tuple[int, Any]:
        if method in self.hang:
            self.hold.wait(10)
        for key in (method, path):
            if key in self.refuse:
                return self.refuse[key], status(self.refuse[key])
        if path == DEPLOYMENT and method == "PATCH":
            self.patches.append(json.loads(body))
            self.now["metadata"]["generation"] += 1
            return 200, self.now
        if path == DEPLOYMENT:
            return self._deployment()
        if path == PODS:
            return 200, {"kind": "PodList", "items": self.pods if query["labelSelector"] == ["app=photos"] else []}
        if path.startswith(f"{PODS}/") and path.endswith("/log"):
            return 200, f"last lines of {'the life before' if 'previous' in query else 'this life'}"
        return 404, status(404)

    def _deployment(self) -> tuple[int, Any]:
        if self.patches and self.steps:
            step = self.steps.pop(0) if len(self.steps) > 1 else self.steps[0]
            return (step, status(step)) if isinstance(step, int) else (200, step)
        return 200, self.now


def status(code: int) -> dict[str, Any]:
    return {"kind": "Status", "status": "Failure", "code": code, "message": f"refused\nwith {code}"}


class _Handler(BaseHTTPRequestHandler):
    api: ApiServer

    def _any(self) -> None:
        parts = urlsplit(self.path)
        body = self.rfile.read(int(self.headers.get("Content-Length") or 0))
        self.api.asked.append(f"{self.command} {self.path}")
        code, said = self.api.answer(self.command, parts.path, parse_qs(parts.query), body)
        if self.headers["Authorization"] != f"Bearer {TOKEN}":
            code, said = 401, status(401)
        if self.command == "PATCH" and self.headers["Content-Type"] != "application/strategic-merge-patch+json":
            code, said = 415, status(415)
        raw = said.encode() if isinstance(said, str) else json.dumps(said).encode()
        with contextlib.suppress(OSError):  # who asked may have gone
            self.send_response(code)
            self.send_header("Content-Length", str(len(raw)))
            self.end_headers()
            self.wfile.write(raw)

    do_GET = do_PATCH = _any  # noqa: N815 - http.server's own naming

    def log_message(self, *_: Any) -> None:
        """Quiet."""


@contextlib.contextmanager
def kubernetes(tls: ssl.SSLContext) -> Iterator[ApiServer]:
    """The stand-in, listening on loopback until the block is left."""
    api = ApiServer()
    server = ThreadingHTTPServer(("127.0.0.1", 0), type("OneHandler", (_Handler,), {"api": api}))
    server.socket = tls.wrap_socket(server.socket, server_side=True)
    api.url = f"https://localhost:{server.server_port}"
    thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
    thread.start()
    try:
        yield api
    finally:
        api.hold.set()
        server.shutdown()
        server.server_close()
        thread.join()
