"""The service: requests in, answers out, of the version that is live now.

What answers is one object that is swapped whole between two requests, so each answer is of one
version, and says of which.
"""

from __future__ import annotations

import asyncio
import logging
import secrets
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any
from urllib.parse import parse_qs

import msgspec
from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram, generate_latest
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import HTMLResponse, PlainTextResponse, Response
from starlette.routing import Route
from starlette.types import Message, Receive, Scope, Send

from gatewright.forms.ask import Asker
from gatewright.forms.explain import Explainer
from gatewright.serving import page
from gatewright.serving.access import Budget, Keys, Limits
from gatewright.serving.bundle import Bundle
from gatewright.serving.log import Feedback, Line, Log, text_of
from gatewright.serving.requests import Door, Wrong, door_of, openapi, told

JSON = [(b"content-type", b"application/json")]
SAFE = [(b"cache-control", b"no-store"), (b"x-content-type-options", b"nosniff")]
TELL = logging.getLogger("gatewright.serving")
EXPLAINED = 100  # rows of the budget that an explained one counts as


@dataclass(frozen=True)
class Settings:
    """What a service lets in: bytes and rows of a request, rows that are explained at once.

    slow: seconds that a request's body may take.
    """

    most_bytes: int = 2_000_000
    most_rows: int = 1_000
    explained: int = 10
    slow: float = 30.0
    limits: Limits = field(default_factory=Limits)


class Live:
    """One version, ready to answer."""

    def __init__(self, bundle: Bundle, settings: Settings) -> None:
        self.bundle = bundle
        self.about = bundle.about
        self.asker = Asker(bundle.plan)
        self.door: Door = door_of(bundle.about, settings.most_rows)
        self.openapi = msgspec.json.encode(openapi(self.door, bundle.about, settings.most_rows))
        self._explainer: Explainer | None = None

    @property
    def explainer(self) -> Explainer:
        if self._explainer is None:  # made when first asked for: it takes memory
            self._explainer = Explainer(self.bundle.plan)
        return self._explainer

    def name_of(self, code: int | None) -> str | bool | None:
        return None if code is None else self.about.classes[code]


class Metrics:
    """What Prometheus is told."""

    def __init__(self, service: Service) -> None:
        self.registry = registry = CollectorRegistry()
        words = ["status"]
        self.requests = Counter("mlops_requests", "Requests by status", words, registry=registry)
        self.answers = Counter("mlops_answers", "Rows answered", ["version"], registry=registry)
        buckets = (0.0005, 0.001, 0.0025, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 1, 5)
        self.seconds = Histogram(
            "mlops_seconds", "Seconds from request to answer", buckets=buckets, registry=registry
        )
        self.swaps = Counter("mlops_swaps", "Versions put live", registry=registry)
        self.refused = Counter("mlops_versions_refused", "Versions refused", registry=registry)
        self.by_status = {code: self.requests.labels(str(code)) for code in (200, 401, 422, 429)}
        for name, words_of, value in (
            ("mlops_log_waiting", "Log lines that wait", lambda: service.log_number("waiting")),
            ("mlops_log_dropped", "Log lines dropped", lambda: service.log_number("dropped")),
            ("mlops_log_written", "Log lines written", lambda: service.log_number("written")),
        ):
            Gauge(name, words_of, registry=registry).set_function(value)
        live = ["version", "model"]
        self.version = Gauge("mlops_version", "The version that is live", live, registry=registry)

    def count(self, status: int) -> None:
        found = self.by_status.get(status)
        (found or self.requests.labels(str(status))).inc()


class Service:
    """What is live, who may ask, and what is kept of it."""

    def __init__(
        self,
        bundle: Bundle,
        settings: Settings | None = None,
        keys: Keys | None = None,
        log: Log | None = None,
        shadow: Bundle | None = None,
    ) -> None:
        self.settings = settings or Settings()
        self.keys, self.log = keys, log
        self.budget = Budget(self.settings.limits)
        self.metrics = Metrics(self)
        self.live = Live(bundle, self.settings)
        self.shadow = Live(shadow, self.settings) if shadow else None
        self._show()

    def swap(self, bundle: Bundle) -> None:
        """Answer by another version from the next request on; it was verified when it was read."""
        live = Live(bundle, self.settings)
        before, self.live = self.live, live
        self.metrics.swaps.inc()
        self._show()
        TELL.info("%s answers now, %s did", live.about.version, before.about.version)

    def _show(self) -> None:
        self.metrics.version.clear()
        about = self.live.about
        self.metrics.version.labels(about.version, about.model).set(1)

    def log_number(self, name: str) -> float:
        return float(getattr(self.log, name)) if self.log else 0.0

    def answer(
        self, live: Live, body: bytes, by: str | None, explain: bool
    ) -> tuple[int, dict[str, Any]]:
        """The status and the answer to the body of a request."""
        try:
            rows = live.door.read(body)
        except Wrong as error:
            return 422, {"error": str(error)}
        if explain and len(rows) > self.settings.explained:
            most = self.settings.explained
            return 429, {"error": f"At most {most} rows are explained at once; send fewer."}
        if by and (why := self.budget.take(by, len(rows) * (EXPLAINED if explain else 1))):
            return 429, {"error": f"This key asked {why}. Ask later, or for a larger budget."}
        request = secrets.token_hex(12)
        answers = []
        lines = []
        asker, about = live.asker, live.about
        for number, row in enumerate(rows):
            scores = asker.scores(row)
            code = asker.recommended(scores) if about.classes else None
            found = told(scores, code, about)
            if explain:
                found["explanation"] = _explained(live, row, code)
            answers.append(found)
            if self.log is not None:
                lines.append((number, row, scores, live.name_of(code)))
        if self.log is not None:
            self._keep(self.log, live, request, by, lines)
        self.metrics.answers.labels(about.version).inc(len(rows))
        return 200, {
            "version": about.version,
            "model": about.model,
            "request_id": request,
            "answers": answers,
        }

    def _keep(
        self,
        log: Log,
        live: Live,
        request: str,
        by: str | None,
        lines: list[tuple[int, dict[str, Any], list[float], Any]],
    ) -> None:
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        about = live.about
        kept = []
        for number, row, scores, said in lines:
            key = text_of([row.get(name) for name in about.key])
            inputs = text_of(row)
            place = (request, number, now, about.environment)
            of = (by, key, inputs)
            kept.append(Line(*place, about.version, 0, *of, text_of(scores), _said(said)))
            if self.shadow is not None:
                other, scores, said = _shadowed(self.shadow, row)
                kept.append(Line(*place, other, 1, *of, text_of(scores), _said(said)))
        log.add(kept)


def _said(value: str | bool | None) -> str | None:
    return None if value is None else text_of(value)


def _shadowed(shadow: Live, row: dict[str, Any]) -> tuple[str, list[float], str | bool | None]:
    """What another version would have said; a row that it cannot read has no score."""
    version = shadow.about.version
    try:
        scores = shadow.asker.scores(row)
    except (KeyError, TypeError, ValueError, OverflowError):
        return version, [], None
    code = shadow.asker.recommended(scores) if shadow.about.classes else None
    return version, scores, shadow.name_of(code)


def _explained(live: Live, row: dict[str, Any], code: int | None) -> dict[str, Any]:
    several = len(live.about.classes) > 2
    found = live.explainer.explain(row, code or 0 if several else 0)
    parts = {name: float(f"{part:.4g}") for name, part in found.contributions.items() if part}
    ordered = dict(sorted(parts.items(), key=lambda pair: -abs(pair[1])))
    start = float(f"{found.start:.4g}")
    return {"scale": found.scale, "start": start, "contributions": ordered}


class Answers:
    """POST /answers, as plain ASGI: this is where time goes."""

    def __init__(self, service: Service) -> None:
        self.service = service

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        began = time.perf_counter()
        status, body = await self._answered(scope, receive)
        self.service.metrics.count(status)
        self.service.metrics.seconds.observe(time.perf_counter() - began)
        await _send(send, status, body)

    async def _answered(self, scope: Scope, receive: Receive) -> tuple[int, bytes]:
        service = self.service
        if scope["method"] != "POST":
            return 405, _problem("Ask with POST; /openapi.json says how.")
        key = _key(scope) if service.keys else None
        found = service.keys.find(key) if service.keys and key else None
        if service.keys and found is None:
            return 401, _problem("This needs a key that is known: `Authorization: Bearer KEY`.")
        try:
            async with asyncio.timeout(service.settings.slow):
                body = await _body(receive, service.settings.most_bytes)
        except TimeoutError:
            return 408, _problem("The request took too long to arrive. Send it again.")
        if body is None:
            most = service.settings.most_bytes
            return 413, _problem(f"A request may have {most:,} bytes; send fewer rows at once.")
        explain = parse_qs(scope["query_string"].decode("latin-1")).get("explain") == ["true"]
        live = service.live  # one version answers all rows of a request
        status, told_ = service.answer(live, body, found.name if found else None, explain)
        return status, msgspec.json.encode(told_)


def _problem(words: str) -> bytes:
    return msgspec.json.encode({"error": words})


def _key(scope: Scope) -> str | None:
    for name, value in scope["headers"]:
        if name == b"authorization":
            kind, _, key = value.decode("latin-1").partition(" ")
            return key.strip() if kind.lower() == "bearer" else None
    return None


async def _body(receive: Receive, most: int) -> bytes | None:
    """The body, or None if it is larger than that; no more of it is read then."""
    parts: list[bytes] = []
    size = 0
    while True:
        message: Message = await receive()
        if message["type"] == "http.disconnect":
            return b""
        part = message.get("body", b"")
        size += len(part)
        if size > most:
            return None
        parts.append(part)
        if not message.get("more_body", False):
            return parts[0] if len(parts) == 1 else b"".join(parts)


async def _send(send: Send, status: int, body: bytes) -> None:
    length = (b"content-length", str(len(body)).encode())
    later = [(b"retry-after", b"1")] if status == 429 else []
    headers = [*JSON, *SAFE, length, *later]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


class Truth(msgspec.Struct, forbid_unknown_fields=True):
    """What came true of one row of a request."""

    request_id: str
    truth: bool | float | str
    row: int = 0
    at: str | None = None


_TRUTHS: msgspec.json.Decoder[Any] = msgspec.json.Decoder(Truth | list[Truth])


def app_of(service: Service) -> Starlette:
    """The service as an ASGI application."""

    def guarded(
        handle: Callable[[Request, str | None], Awaitable[Response]],
    ) -> Callable[[Request], Awaitable[Response]]:
        async def guard(request: Request) -> Response:
            by = None
            if service.keys:
                key = _key(request.scope)
                found = service.keys.find(key) if key else None
                if found is None:
                    words = "This needs a key that is known: `Authorization: Bearer KEY`."
                    return _json_response(401, {"error": words})
                by = found.name
            return await handle(request, by)

        return guard

    async def feedback(request: Request, by: str | None) -> Response:
        body = await _body(request.receive, service.settings.most_bytes)
        if body is None:
            return _json_response(413, {"error": "Send fewer at once."})
        if service.log is None:
            return _json_response(503, {"error": "This service keeps no log."})
        try:
            found = _TRUTHS.decode(body)
        except (msgspec.DecodeError, RecursionError) as error:
            return _json_response(422, {"error": f"This is no feedback: {error}."})
        now = datetime.now(UTC).isoformat(timespec="milliseconds")
        items = found if isinstance(found, list) else [found]
        if why := _untrue(items, service.live):
            return _json_response(422, {"error": why})
        kept = service.log.add(
            Feedback(item.request_id, item.row, item.at or now, text_of(item.truth), by)
            for item in items
        )
        if not kept:
            return _json_response(503, {"error": "The log is full. Send it again later."})
        return _json_response(202, {"kept": len(items)})

    async def home(request: Request) -> Response:
        about = service.live.about
        return _json_response(
            200,
            {
                "project": about.project,
                "description": about.description,
                "version": about.version,
                "model": about.model,
                "environment": about.environment,
                "live_since": about.since,
                "approved_by": about.approved_by,
                "links": ["/answers", "/openapi.json", "/model-card", "/demo", "/metrics"],
            },
        )

    async def alive(request: Request) -> Response:
        return _json_response(200, {"status": "alive"})

    async def ready(request: Request) -> Response:
        return _json_response(200, {"status": "ready", "version": service.live.about.version})

    async def metrics(request: Request) -> Response:
        return PlainTextResponse(generate_latest(service.metrics.registry))

    async def card(request: Request) -> Response:
        return Response(service.live.bundle.card, media_type="text/markdown; charset=utf-8")

    async def schema(request: Request) -> Response:
        return Response(service.live.openapi, media_type="application/json")

    async def demo(request: Request) -> Response:
        text, policy = page.demo(service.live.about, keys=service.keys is not None)
        return HTMLResponse(text, headers={"content-security-policy": policy})

    open_to_all = [
        Route("/", home),
        Route("/health/live", alive),
        Route("/health/ready", ready),
        Route("/metrics", metrics),
        Route("/model-card", card),
        Route("/openapi.json", schema),
        Route("/demo", demo),
    ]
    asking = [
        Route("/answers", Answers(service)),
        Route("/feedback", guarded(feedback), methods=["POST"]),
    ]

    async def failed(request: Request, error: Exception) -> Response:
        words = f"internal error: {type(error).__name__}. Nothing was answered; it is in the log."
        return _json_response(500, {"error": words})

    handlers: Any = {Exception: failed}
    return Starlette(routes=[*asking, *open_to_all], exception_handlers=handlers)


def _untrue(items: list[Truth], live: Live) -> str | None:
    """Why what is said to have come true cannot have."""
    classes = live.about.classes
    for item in items:
        if classes and not any(type(item.truth) is type(c) and item.truth == c for c in classes):
            return f"{item.truth!r} is none of {', '.join(map(repr, classes))}."
        if not classes and (isinstance(item.truth, (bool, str)) or item.truth != item.truth):
            return f"{item.truth!r} is no number."
        if item.at is not None:
            try:
                datetime.fromisoformat(item.at)
            except ValueError:
                return f"{item.at!r} is no time; write 2027-03-31T14:00:00Z."
    return None


def _json_response(status: int, values: dict[str, Any]) -> Response:
    return Response(msgspec.json.encode(values), status, media_type="application/json")
