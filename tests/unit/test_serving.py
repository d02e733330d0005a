"""A version that is live is asked: over HTTP, by SQL; it says what the gate judged, or nothing."""

from __future__ import annotations

import asyncio
import http.client
import ipaddress
import json
import math
import os
import re
import signal
import socket
import sqlite3
import ssl
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import closing, contextmanager
from dataclasses import replace
from datetime import UTC, date, datetime, timedelta
from pathlib import Path
from typing import Any

import pandas as pd
import pytest
import schemathesis
from cryptography import x509
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey
from hypothesis import given, settings
from parcels import CONTRACT, Project, make_project
from starlette.testclient import TestClient

from gatewright.adapters.model_file import allowed_types, load_model
from gatewright.contract.schema import parse_contract
from gatewright.errors import Misuse, Refused
from gatewright.evaluation.predictions import answer
from gatewright.forms import prove
from gatewright.serving.access import Budget, Keys, Limits, make_key, parse_keys
from gatewright.serving.app import Service, Settings, app_of
from gatewright.serving.bundle import Bundle, read_bundle
from gatewright.serving.log import Feedback, Line, Log
from gatewright.serving.server import Address, check_address

Shared = Callable[[str, Callable[[Path], object]], Path]
SERVED = CONTRACT.replace("slices: [shop]", "slices: [shop]\nserve: [api, sql]") + (
    "decision:\n  description: How is it packed?\n  unit: EUR\n"
    "  actions: {false: thin paper, true: a crate}\n"
    "  costs: {false: {false: 0, true: 5}, true: {false: 5, true: 0}}\n"
)
EVERYWHERE = str(ipaddress.IPv4Address(0))  # all addresses of the machine
ROW = {"weight": 0.5, "height": -1.0}


@pytest.fixture(scope="session")
def made_served(shared: Shared) -> Project:
    """1.0.0 is live in dev, 1.1.0 is registered; their bundles lie beside the project."""

    def make(folder: Path) -> None:
        project = make_project(folder, {"contract.yaml": SERVED})
        project.mlops("register")
        project.mlops("promote", "1.0.0", "--to", "dev")
        project.mlops("bundle", "dev", "--output", str(folder / "first"))
        project.retrain(0.5)
        project.mlops("register")
        words = ("--version", "1.1.0", "--output", str(folder / "second"))
        project.mlops("bundle", "dev", *words)

    return Project(shared("parcels-served", make) / "parcels")


@pytest.fixture
def served(made_served: Project, tmp_path: Path) -> Project:
    return made_served.copy(tmp_path)


@pytest.fixture(scope="session")
def first(made_served: Project) -> Bundle:
    return read_bundle(made_served.root.parent / "first")


@pytest.fixture(scope="session")
def second(made_served: Project) -> Bundle:
    return read_bundle(made_served.root.parent / "second")


@pytest.fixture
def log(tmp_path: Path) -> Iterator[Log]:
    log = Log(tmp_path / "log.db").start()
    yield log
    log.stop()


def client_of(service: Service) -> TestClient:
    return TestClient(app_of(service))


def lines(log: Log, query: str = "SELECT * FROM answers ORDER BY at, row") -> list[tuple[Any, ...]]:
    log.stop()
    with closing(sqlite3.connect(log.path)) as database:
        return database.execute(query).fetchall()


# What is stored with a version


def test_a_version_says_how_its_forms_were_proven(made_served: Project) -> None:
    made_served.git("fetch", "--quiet", "origin", "+registry:refs/mlops/seen")
    record = made_served.record("1.0.0")
    for form in ("api", "sql"):
        assert record["forms"][form]["difference"] < 1e-12
        assert record["forms"][form]["rows"] == len(made_served.test_rows)
        assert record["forms"][form]["hard rows"] == 2000
    assert "forms/plan.json" in [file["path"] for file in record["files"]]


def test_a_form_that_does_not_hold_is_refused_and_not_stored(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(prove, "TOLERANCE", -1.0)
    trained.edit("contract.yaml", "slices: [shop]", "slices: [shop]\nserve: [api, sql]")
    trained.mlops("run")
    trained.merge()
    trained.mlops("push")
    said = trained.mlops("register")
    assert "it cannot be asked by api: on 2000 test rows and 2000 hard ones it differs" in said.err
    trained.git("fetch", "--quiet", "origin", "+registry:refs/mlops/seen")
    record = trained.record("1.0.0")
    assert "refused" in record["forms"]["sql"]
    assert "forms/plan.json" not in [file["path"] for file in record["files"]]
    trained.mlops("promote", "1.0.0", "--to", "dev")
    said = trained.mlops("bundle", "dev", "--output", "there", expect=1)
    assert "1.0.0 has no form that a server can ask: on 2000 test rows" in said.err
    assert not (trained.root / "there").exists()
    assert "1.0.0 has no SQL" in trained.mlops("export", "sql", "dev", expect=1).err


def test_a_version_without_forms_says_what_to_do(released: Project) -> None:
    said = released.mlops("bundle", "dev", "--output", "there", expect=1).err
    assert "Write `serve: [api]` into contract.yaml" in said
    said = released.mlops("export", "sql", "dev", expect=1).err
    assert "Write `serve: [sql]` into contract.yaml" in said


@pytest.mark.parametrize("file", ["plan.json", "about.json"])
def test_an_altered_bundle_does_not_answer(file: str, served: Project, tmp_path: Path) -> None:
    folder = tmp_path / "bundle"
    served.mlops("bundle", "dev", "--output", str(folder))
    text = (folder / file).read_text()
    old, new = ('"threshold":', '"threshold" :') if file == "plan.json" else ('"answer": 0', "")
    changed = (
        text.replace(old, new, 1) if new else re.sub(r'"answer": 0\.\d', '"answer": 0.0', text)
    )
    assert changed != text
    (folder / file).write_text(changed)
    with pytest.raises(Refused, match="was altered" if file == "plan.json" else "not what was"):
        read_bundle(folder)


def test_an_altered_file_in_the_storage_is_refused(served: Project, tmp_path: Path) -> None:
    served.git("fetch", "--quiet", "origin", "+registry:refs/mlops/seen")
    place = served.stored("1.0.0", "dev", "forms/plan.json")

    def change(root: Path) -> None:
        (root / place).chmod(0o644)
        (root / place).write_text((root / place).read_text().replace("1", "2", 1))

    served.change_branch("dvc-storage", change)
    said = served.mlops("bundle", "dev", "--output", str(tmp_path / "there"), expect=None)
    assert said.status
    assert not (tmp_path / "there").exists()


# SQL


def test_the_database_answers_what_the_model_answers(served: Project) -> None:
    query = served.mlops("export", "sql", "dev", "--table", "asked").out
    rows = served.test_rows
    with closing(sqlite3.connect(":memory:")) as database:
        rows[["number", "weight", "height"]].to_sql("asked", database)
        found = {line[0]: line[1:] for line in database.execute(query)}
    contract = parse_contract(SERVED)
    served.git("checkout", "--quiet", "HEAD~1", "--", "dvc.lock")
    served.dvc("checkout", "--quiet", "model/model.skops")
    model = load_model(served.root / "model/model.skops", allowed_types())
    said = answer(model, rows, contract, "model")
    for number, score, label in zip(rows["number"], said.scores, said.labels, strict=True):
        probability, recommends, decision = found[number]
        assert probability == pytest.approx(score, abs=1e-12)
        assert recommends == label
        assert decision == ("a crate" if label else "thin paper")
    view = served.mlops("export", "sql", "dev", "--view", 'a "view"', "--dialect", "duckdb").out
    assert 'CREATE VIEW "a ""view""" AS' in view


def test_a_library_that_writes_another_query_exports_none(
    served: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    from gatewright.forms import sql

    monkeypatch.setattr(sql, "LARGEST", 600.0)
    said = served.mlops("export", "sql", "dev", expect=1).err
    assert "writes another query than the one that was proven" in said


# HTTP


def test_one_row_and_many_are_answered_as_the_model_does(first: Bundle) -> None:
    client = client_of(Service(first))
    one = client.post("/answers", json=ROW)
    assert one.status_code == 200
    assert one.json()["version"] == "1.0.0"
    assert one.json()["model"] == first.about.model
    rows = [pair["request"] for pair in first.about.golden]
    many = client.post("/answers", json=rows).json()["answers"]
    for pair, found in zip(first.about.golden, many, strict=True):
        assert found["probability_broken"] == round(pair["answer"], 4)
        assert found["recommends"] is pair["recommends"]
        assert found["decision"] == ("a crate" if pair["recommends"] else "thin paper")


def test_an_answer_is_explained_and_the_parts_add_up(first: Bundle) -> None:
    client = client_of(Service(first))
    found = client.post("/answers?explain=true", json=ROW).json()["answers"][0]
    parts = found["explanation"]
    assert parts["scale"] == "log odds"
    total = parts["start"] + sum(parts["contributions"].values())
    assert 1 / (1 + math.exp(-total)) == pytest.approx(found["probability_broken"], abs=1e-3)
    many = client.post("/answers?explain=true", json=[ROW] * 11)
    assert (many.status_code, "At most 10 rows" in many.json()["error"]) == (429, True)


@pytest.mark.parametrize(
    ("body", "words"),
    [
        ({"height": 1}, "`weight`"),
        ({"weight": None}, "missing required field `height`"),
        ({"weight": "1", "height": 1}, "Expected `float | null`, got `str`"),
        ({"weight": 1, "height": True}, "Expected `float`, got `bool`"),
        ({"weight": 1, "height": 10}, "`float` <= 9.0"),
        ({"weight": 1, "height": 1, "email": "a@b.c"}, "`email` is personal"),
        ({"weight": 1, "height": 1, "other": 1}, "unknown field `other`"),
        ({"weight": 1, "height": 1, "shop": "west"}, "Invalid enum value 'west'"),
        ([], "length >= 1"),
        ([ROW] * 1001, "length <= 1000"),
        ([ROW, {}], "`$[1]`"),
        (1, "got `int`"),
        ("text", "got `str`"),
    ],
)
def test_what_the_contract_does_not_let_in_is_refused_in_words(
    body: Any, words: str, first: Bundle, log: Log
) -> None:
    reply = client_of(Service(first, log=log)).post("/answers", json=body)
    if isinstance(body, dict) and "weight" not in body:  # a missing one may be missing
        assert reply.status_code == 200
        return
    assert reply.status_code == 422
    assert words in reply.json()["error"]
    assert lines(log) == []


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"\xff\xfe",
        b'{"weight": NaN, "height": 1}',
        b'{"weight": 1e999, "height": 1}',
        b'{"weight": ' + b"[" * 100_000,
        b'{"weight": ' + b"9" * 400 + b', "height": 1}',
        b'{"weight": 1, "height": 1}garbage',
    ],
)
def test_malformed_requests_end_in_a_sentence(body: bytes, first: Bundle) -> None:
    reply = client_of(Service(first)).post("/answers", content=body)
    assert reply.status_code == 422
    assert "what the contract lets in" in reply.json()["error"]


def test_a_request_that_is_too_large_is_not_read(first: Bundle) -> None:
    service = Service(first, Settings(most_bytes=100))
    reply = client_of(service).post("/answers", content=b" " * 101)
    assert reply.status_code == 413
    assert client_of(service).post("/answers", json=ROW).status_code == 200
    assert client_of(service).get("/answers").status_code == 405


def test_whole_numbers_without_an_end_are_64_bits(first: Bundle) -> None:
    wide = [replace(i, min=None, max=None, feature=True) for i in first.about.inputs[:1]]
    about = replace(first.about, inputs=(*wide, *first.about.inputs[1:]))
    client = client_of(Service(replace(first, about=about)))
    for number, status in ((2**63 - 1, 200), (2**63, 422), (-(10**400), 422)):
        body = json.dumps({**ROW, "number": number})
        assert client.post("/answers", content=body).status_code == status


def test_an_error_of_the_service_itself_is_told_without_its_words(
    first: Bundle, monkeypatch: pytest.MonkeyPatch
) -> None:
    service = Service(first)
    monkeypatch.setattr(service, "answer", lambda *_: 1 / 0)
    reply = TestClient(app_of(service), raise_server_exceptions=False).post("/answers", json=ROW)
    assert reply.status_code == 500
    assert "internal error: ZeroDivisionError" in reply.json()["error"]


def test_a_request_that_never_arrives_is_not_waited_for(first: Bundle) -> None:
    app, sent = app_of(Service(first, Settings(slow=0.01))), []

    async def receive() -> dict[str, Any]:
        await asyncio.sleep(3600)
        return {}

    async def send(message: Any) -> None:
        sent.append(message)

    scope = {"type": "http", "method": "POST", "path": "/answers", "headers": []}
    asyncio.run(app({**scope, "query_string": b"", "root_path": ""}, receive, send))
    assert sent[0]["status"] == 408


def test_the_other_pages_tell_what_answers(first: Bundle, made_served: Project) -> None:
    client = client_of(Service(first))
    home = client.get("/").json()
    assert (home["version"], home["environment"]) == ("1.0.0", "dev")
    assert client.get("/health/live").json() == {"status": "alive"}
    assert client.get("/health/ready").json()["version"] == "1.0.0"
    client.post("/answers", json=ROW)
    client.post("/answers", json={})
    told = client.get("/metrics").text
    assert 'mlops_requests_total{status="200"} 1.0' in told
    assert 'mlops_requests_total{status="422"} 1.0' in told
    assert 'mlops_answers_total{version="1.0.0"} 1.0' in told
    assert 'mlops_version{model="' in told
    schema = client.get("/openapi.json").json()
    assert schema["openapi"] == "3.1.0"
    assert schema["components"]["schemas"]["Row"]["required"] == ["height"]
    assert client.get("/model-card").headers["content-type"].startswith("text/markdown")
    demo = client.get("/demo")
    assert "default-src 'none'" in demo.headers["content-security-policy"]
    assert "http" not in re.sub(r"<h1>.*?</h1>", "", demo.text).replace("https:", "")


# Who may ask


@pytest.fixture
def keys(tmp_path: Path) -> tuple[Path, str]:
    key, line = make_key("desk", "2027-01-31")
    (tmp_path / "keys").write_text(f"# who may ask\n{line}\n")
    return tmp_path / "keys", key


def bearer(key: str) -> dict[str, str]:
    return {"authorization": f"Bearer {key}"}


def test_without_a_key_nobody_is_answered(first: Bundle, keys: tuple[Path, str], log: Log) -> None:
    path, key = keys
    client = client_of(Service(first, keys=Keys(path, today=lambda: date(2027, 1, 31)), log=log))
    for headers in ({}, bearer(key + "x"), bearer(""), {"authorization": f"Basic {key}"}):
        for place in ("/answers", "/feedback"):
            reply = client.post(place, json=ROW, headers=headers)
            assert reply.status_code == 401
            assert "Bearer KEY" in reply.json()["error"]
    assert client.post("/answers", json=ROW, headers=bearer(key)).status_code == 200
    (line,) = lines(log)
    assert line[6] == "desk"
    assert key not in path.read_text()


def test_a_key_ends_with_its_day_and_is_taken_without_a_restart(
    first: Bundle, keys: tuple[Path, str]
) -> None:
    path, key = keys
    today, now = [date(2027, 1, 31)], [0.0]
    service = Service(first, keys=Keys(path, clock=lambda: now[0], today=lambda: today[0]))
    client = client_of(service)

    def ask(key: str) -> int:
        return client.post("/answers", json=ROW, headers=bearer(key)).status_code

    assert ask(key) == 200
    today[0] = date(2027, 2, 1)
    assert ask(key) == 401
    other, line = make_key("other", "never")
    path.write_text(line + "\n")
    assert ask(other) == 401
    now[0] += 2
    assert (ask(other), ask(key)) == (200, 401)
    path.write_text("nonsense\n")
    now[0] += 2
    assert ask(other) == 200  # what cannot be read changes nothing, and is told
    assert service.keys is not None
    assert "no line of a file of keys" in service.keys.problem


@pytest.mark.parametrize(
    "text", ["", "# none\n", "desk never abc\n", "desk 2027-13-01 " + "a" * 64]
)
def test_a_file_without_a_key_lets_nobody_serve(text: str, tmp_path: Path) -> None:
    (tmp_path / "keys").write_text(text)
    with pytest.raises(Refused, match="mlops key"):
        Keys(tmp_path / "keys")


def test_others_than_this_machine_need_a_key(keys: tuple[Path, str]) -> None:
    for host in (EVERYWHERE, "::", "192.168.0.7", "example.com"):
        with pytest.raises(Misuse, match="Everybody who reaches"):
            check_address(Address(host=host))
    for host in ("127.0.0.1", "localhost", "::1"):
        assert check_address(Address(host=host)) is None
    assert check_address(Address(host=EVERYWHERE, keys=keys[0])) is not None
    with pytest.raises(Misuse, match="both"):
        check_address(Address(certificate=Path("c.pem")))


def test_a_key_has_a_rate_and_a_budget_of_rows() -> None:
    now, today = [0.0], [date(2027, 1, 1)]
    limits = Limits(rate=2, burst=3, rows=100)
    budget = Budget(limits, clock=lambda: now[0], today=lambda: today[0])
    assert [budget.take("a", 1) for _ in range(3)] == [None] * 3
    assert "more than 2 requests a second" in (budget.take("a", 1) or "")
    assert budget.take("b", 1) is None
    now[0] += 0.5
    assert budget.take("a", 90) is None
    now[0] += 10
    assert "93 were answered today" in (budget.take("a", 8) or "")
    assert budget.take("a", 7) is None
    today[0] = date(2027, 1, 2)
    assert budget.take("a", 100) is None
    now[0] -= 1_000  # a clock that goes back gives nothing away, and takes nothing
    assert budget.take("b", 1) is None


def test_who_asks_too_much_is_told_so(first: Bundle, keys: tuple[Path, str]) -> None:
    path, key = keys
    service = Service(first, Settings(limits=Limits(rows=150)), Keys(path))
    client = TestClient(app_of(service), headers=bearer(key))
    assert client.post("/answers", json=[ROW] * 40).status_code == 200
    assert client.post("/answers?explain=true", json=ROW).status_code == 200  # counts as 100
    reply = client.post("/answers", json=[ROW] * 11)
    assert (reply.status_code, reply.headers["retry-after"]) == (429, "1")
    assert "150 rows a day" in reply.json()["error"]
    assert client.post("/answers", json=[ROW] * 10).status_code == 200


def test_keys_are_told_once_and_kept_as_hashes(released: Project) -> None:
    said = released.mlops("key", "desk", "--ends", "2027-12-31")
    key = said.err.strip().rpartition(" ")[2]
    assert key.startswith("gw_")
    assert key not in said.out
    (found,) = parse_keys(said.out).values()
    assert (found.name, found.ends) == ("desk", date(2027, 12, 31))
    assert "no line of a file" in released.mlops("key", "a b", expect=64).err
    assert "no line of a file" in released.mlops("key", "a", "--ends", "soon", expect=64).err


# What is kept


def test_what_is_asked_and_answered_is_kept(first: Bundle, second: Bundle, log: Log) -> None:
    client = client_of(Service(first, log=log, shadow=second))
    request = client.post("/answers", json={**ROW, "number": 7, "shop": "north"}).json()
    for at in (None, None, "2027-03-01T00:00:00+00:00"):  # the same twice is once
        told = {"request_id": request["request_id"], "truth": at is None, "at": at or "2027-01-01"}
        assert client.post("/feedback", json=told).status_code == 202
    assert client.post("/feedback", json={"request_id": "never", "truth": True}).status_code == 202
    answered, shadow = lines(log, "SELECT * FROM answers ORDER BY shadow")
    assert (answered[0], answered[1], answered[3]) == (request["request_id"], 0, "dev")
    assert (answered[4], answered[5], shadow[4], shadow[5]) == ("1.0.0", 0, "1.1.0", 1)
    assert json.loads(answered[7]) == [7]
    assert json.loads(answered[8]) == {**ROW, "number": 7, "shop": "north", "sent": None}
    (score,) = json.loads(answered[9])
    assert round(score, 4) == request["answers"][0]["probability_broken"]
    assert json.loads(answered[10]) is request["answers"][0]["recommends"]
    outcomes = lines(log, "SELECT version, truth, known_at FROM outcomes ORDER BY version")
    # What was said last counts, whatever its date.
    assert outcomes == [(v, "false", "2027-03-01T00:00:00+00:00") for v in ("1.0.0", "1.1.0")]
    assert len(lines(log, "SELECT * FROM feedback")) == 3


@pytest.mark.parametrize(
    ("told", "words"),
    [
        ({"request_id": "a", "truth": "yes"}, "none of False, True"),
        ({"request_id": "a", "truth": 1}, "none of False, True"),
        ({"request_id": "a"}, "missing required field `truth`"),
        ({"request_id": "a", "truth": True, "at": "soon"}, "no time"),
        ({"request_id": "a", "truth": True, "email": "a@b.c"}, "unknown field"),
        ([{"request_id": "a", "truth": True}, 7], "`$[1]`"),
    ],
)
def test_feedback_that_cannot_be_is_refused(told: Any, words: str, first: Bundle, log: Log) -> None:
    reply = client_of(Service(first, log=log)).post("/feedback", json=told)
    assert reply.status_code == 422
    assert words in reply.json()["error"]
    assert client_of(Service(first)).post("/feedback", json=told).status_code == 503


def some_line(number: int = 0) -> Line:
    place = (f"r{number}", 0, "2027-01-01", "dev", "1.0.0", 0, None)
    return Line(*place, "[1]", "{}", "[0.5]", "true")


def test_a_full_queue_drops_and_says_so(first: Bundle, tmp_path: Path) -> None:
    log = Log(tmp_path / "log.db", most=2)  # not started: nothing is written
    service = Service(first, log=log)
    client = client_of(service)
    assert [client.post("/answers", json=ROW).status_code for _ in range(3)] == [200] * 3
    assert (log.waiting, log.dropped) == (2, 1)
    assert "mlops_log_dropped 1.0" in client.get("/metrics").text
    reply = client.post("/feedback", json={"request_id": "a", "truth": True})
    assert reply.status_code == 503


def test_a_database_that_fails_and_comes_back_loses_no_line(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.db", sleep=lambda _: None).start()
    with closing(sqlite3.connect(log.path)) as database:
        database.execute("ALTER TABLE answers RENAME TO away")
        log.add(some_line(number) for number in range(5))
        while not log.problem:
            time.sleep(0.01)
        assert "no such table" in log.problem
        assert log.waiting == 5
        database.execute("ALTER TABLE away RENAME TO answers")
    assert len(lines(log)) == 5
    assert (log.dropped, log.written, log.problem) == (0, 5, "")


def test_what_cannot_be_written_at_the_end_is_counted(tmp_path: Path) -> None:
    log = Log(tmp_path / "log.db", sleep=lambda _: None).start()
    with closing(sqlite3.connect(log.path)) as database:
        database.execute("DROP VIEW outcomes")
        database.execute("DROP TABLE answers")
    log.add([some_line(), Feedback("a", 0, "2027-01-01", "true", None)])
    log.stop(tries=3)
    assert log.dropped == 2


def test_a_log_that_cannot_be_opened_lets_nobody_serve(tmp_path: Path) -> None:
    (tmp_path / "file").write_text("no database " * 100)
    for path in (tmp_path / "file", tmp_path / "file/log.db"):
        with pytest.raises(Refused, match="cannot be opened"):
            Log(path).start()


# Another version


def test_a_swap_is_whole_between_two_requests(first: Bundle, second: Bundle) -> None:
    """Swapped all the time, under load: each answer is of the version that it names."""
    service = Service(first)
    app = app_of(service)
    wanted = {
        bundle.about.version: client_of(Service(bundle))
        .post("/answers", json=ROW)
        .json()["answers"]
        for bundle in (first, second)
    }
    assert wanted["1.0.0"] != wanted["1.1.0"]
    seen = []

    def ask(_: int) -> None:
        client = TestClient(app)
        for _ in range(20):
            found = client.post("/answers", json=ROW)
            seen.append((found.status_code, found.json()["version"], found.json()["answers"]))

    with ThreadPoolExecutor(4) as pool:
        asking = [pool.submit(ask, number) for number in range(4)]
        while not all(one.done() for one in asking):
            for bundle in (second, first):
                service.swap(bundle)
                time.sleep(0.002)
        for one in asking:
            one.result()
    assert len(seen) == 80
    assert all(status == 200 and answers == wanted[version] for status, version, answers in seen)
    assert {version for _, version, _ in seen} == set(wanted)


def test_golden_answers_that_are_others_now_are_refused(second: Bundle) -> None:
    from gatewright.serving.bundle import check_golden

    spoilt = replace(second.plan, threshold=0.999)
    with pytest.raises(Refused, match="not what was judged"):
        check_golden(replace(second, plan=spoilt))


# The process


def free_port() -> int:
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        return int(found.getsockname()[1])


def ask(port: int, path: str = "/answers", body: Any = ROW) -> tuple[int, Any]:
    data = None if body is None else json.dumps(body).encode()
    request = urllib.request.Request(f"http://127.0.0.1:{port}{path}", data)
    try:
        with urllib.request.urlopen(request, timeout=60) as reply:
            return reply.status, json.loads(reply.read())
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())


@contextmanager
def serving(*words: str, at: Path) -> Iterator[tuple[subprocess.Popen[str], int]]:
    port = free_port()
    command = [sys.executable, "-m", "gatewright", "serve", *words, "--port", str(port)]
    with subprocess.Popen(command, cwd=at, stderr=subprocess.PIPE, text=True) as process:
        try:
            while process.poll() is None:
                try:
                    ask(port, "/health/ready", None)
                    break
                except OSError:
                    time.sleep(0.05)
            yield process, port
        finally:
            process.kill()


def test_what_is_promoted_is_picked_up_and_what_is_stopped_loses_nothing(
    served: Project, tmp_path: Path
) -> None:
    with serving("dev", "--poll", "0", "--log", "log.db", at=served.root) as (process, port):
        assert ask(port)[1]["version"] == "1.0.0"
        served.mlops("promote", "1.1.0", "--to", "dev")
        assert ask(port)[1]["version"] == "1.0.0"  # nobody looked yet
        process.send_signal(signal.SIGHUP)
        asked = 2
        while ask(port)[1]["version"] == "1.0.0":
            asked += 1
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0
    with closing(sqlite3.connect(served.root / "log.db")) as database:
        found = database.execute(
            "SELECT version, count(*) FROM answers GROUP BY version"
        ).fetchall()
    assert found == [("1.0.0", asked), ("1.1.0", 1)]


def test_a_bundle_that_was_altered_is_refused_and_the_one_before_answers_on(
    served: Project, tmp_path: Path
) -> None:
    folder = tmp_path / "bundle"
    served.mlops("bundle", "dev", "--output", str(folder))
    # It needs no project, and nothing of what trains.
    with serving("--bundle", str(folder), "--poll", "0", "--no-log", at=tmp_path) as (
        process,
        port,
    ):
        assert ask(port)[1]["version"] == "1.0.0"
        (folder / "plan.json").write_text("{}")
        os.utime(folder / "about.json")
        process.send_signal(signal.SIGHUP)
        assert process.stderr is not None
        while "still 1.0.0" not in (line := process.stderr.readline()):
            assert line
        assert "was altered" in line
        assert ask(port)[1]["version"] == "1.0.0"
        served.mlops("bundle", "dev", "--version", "1.1.0", "--output", str(folder))
        process.send_signal(signal.SIGHUP)
        while ask(port)[1]["version"] == "1.0.0":
            time.sleep(0.05)
        used = Path(f"/proc/{process.pid}/maps").read_text()
        for name in ("numpy", "pandas", "sklearn", "pyarrow"):
            assert f"/{name}/" not in used
        process.send_signal(signal.SIGTERM)
        assert process.wait(60) == 0


def test_others_are_answered_over_tls_with_a_key_within_its_budget(
    made_served: Project, tmp_path: Path
) -> None:
    bundle = str(made_served.root.parent / "first")
    key, line = make_key("desk", "never")
    (tmp_path / "keys").write_text(line)
    certificate(tmp_path)
    words = ("--host", EVERYWHERE, "--keys", "keys", "--rows-a-day", "3", "--rate", "100")
    tls = ("--tls-certificate", "cert.pem", "--tls-key", "key.pem")
    port = free_port()
    command = [sys.executable, "-m", "gatewright", "serve", "--bundle", bundle, "--no-log"]
    process = subprocess.Popen([*command, *words, *tls, "--port", str(port)], cwd=tmp_path)
    try:
        context = ssl.create_default_context(cafile=tmp_path / "cert.pem")
        connection = http.client.HTTPSConnection("localhost", port, context=context, timeout=60)
        statuses: list[int] = []
        while not statuses:
            assert process.poll() is None
            try:
                connection.request("GET", "/health/ready")
                connection.getresponse().read()
                statuses.append(0)
            except ConnectionRefusedError:
                connection.close()
                time.sleep(0.05)
        for headers, rows in (({}, 1), (bearer(key), 3), (bearer(key), 1)):
            connection.request("POST", "/answers", json.dumps([ROW] * rows), headers)
            reply = connection.getresponse()
            reply.read()
            statuses.append(reply.status)
        connection.close()
        process.terminate()
        assert process.wait(60) == 0
    finally:
        process.kill()
    assert statuses[1:] == [401, 200, 429]


def certificate(folder: Path) -> None:
    """One for localhost that signs itself."""
    private = Ed25519PrivateKey.generate()
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "localhost")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(private.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("localhost")]), critical=False)
        .sign(private, None)
    )
    form = serialization
    text = private.private_bytes(form.Encoding.PEM, form.PrivateFormat.PKCS8, form.NoEncryption())
    (folder / "key.pem").write_bytes(text)
    (folder / "cert.pem").write_bytes(made.public_bytes(form.Encoding.PEM))


def test_wrong_words_and_what_is_not_there_end_in_a_sentence(served: Project) -> None:
    for words, why in (
        ((), "Say what answers"),
        (("dev", "--bundle", "x"), "Say what answers"),
        (("--bundle", "x", "--version", "1.0.0"), "A bundle is one version"),
        (("dev", "--host", EVERYWHERE), "Everybody who reaches"),
    ):
        assert why in served.mlops("serve", *words, expect=64).err
    assert "no whole bundle" in served.mlops("serve", "--bundle", "nowhere", expect=1).err
    assert "Nothing is live in production" in served.mlops("serve", "production", expect=2).err
    assert "no environment" in served.mlops("serve", "nowhere", expect=2).err
    assert (
        "There is no version"
        in served.mlops("bundle", "dev", "--version", "9.9.9", "--output", "x", expect=64).err
    )


def test_a_port_that_is_taken_is_told(served: Project, made_served: Project) -> None:
    bundle = str(made_served.root.parent / "first")
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        port = str(taken.getsockname()[1])
        command = [sys.executable, "-m", "gatewright", "serve", "--bundle", bundle, "--no-log"]
        done = subprocess.run([*command, "--port", port], capture_output=True, text=True)
    assert done.returncode == 2
    assert "Traceback" not in done.stderr


@pytest.mark.filterwarnings("default")
def test_the_description_of_the_service_is_held_by_it(first: Bundle) -> None:
    """Every request that OpenAPI lets in is answered, and every other one is refused as it says."""
    schema = schemathesis.openapi.from_asgi("/openapi.json", app_of(Service(first)))

    @given(case=schema["/answers"]["POST"].as_strategy())
    @settings(max_examples=100, deadline=None, derandomize=True, database=None)
    def hold(case: Any) -> None:
        case.call_and_validate()

    hold()


# Batches


@pytest.fixture
def asked_rows(served: Project, tmp_path: Path) -> Path:
    """Test rows as three files in a folder: Parquet, CSV and JSON Lines."""
    folder = tmp_path / "in"
    folder.mkdir()
    rows = served.test_rows.drop(columns="broken").assign(sent="2027-01-01")
    rows.to_parquet(folder / "a.parquet")
    rows.to_csv(folder / "b.csv", index=False)
    rows.to_json(folder / "c.jsonl", orient="records", lines=True, double_precision=15)
    return folder


def test_files_of_three_kinds_are_answered_as_the_model_does(
    served: Project, asked_rows: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    said = served.mlops("score", "dev", str(asked_rows), str(out), "--version", "1.1.0", "--json")
    rows = served.test_rows
    assert said.json == {
        **{"files": 3, "skipped": 0, "rows": 3 * len(rows), "bad": 0, "version": "1.1.0"}
    }
    model = load_model(served.root / "model/model.skops", allowed_types())
    wanted = answer(model, rows, parse_contract(SERVED), "model")
    for name in "abc":
        found = pd.read_parquet(out / f"{name}.parquet")
        assert found["number"].tolist() == rows["number"].tolist()
        assert found["probability_broken"].tolist() == pytest.approx(wanted.scores, abs=1e-12)
        assert found["recommends"].tolist() == wanted.labels.astype(bool).tolist()
        assert set(found["decision"]) == {"a crate", "thin paper"}
    assert sorted(path.name for path in out.iterdir()) == ["a.parquet", "b.parquet", "c.parquet"]


def test_rows_that_the_contract_does_not_let_in_come_into_a_quarantine(
    served: Project, tmp_path: Path
) -> None:
    lines = (
        *("number,weight,height,email", "1,0.5,1,a@b.c", "2,,1,", "3,0.5,,", "4,heavy,1,"),
        *("5,0.5,10,", "6,0.5,-inf,", "7,10,99,who@example.com"),
    )
    (tmp_path / "in.csv").write_text("\n".join(lines) + "\n")
    said = served.mlops("score", "dev", str(tmp_path / "in.csv"), str(tmp_path))
    assert "2 rows answered by 1.0.0, 5 rows in the quarantine" in said.out
    bad = (tmp_path / "in.bad.csv").read_text().splitlines()
    assert bad[0].startswith("row,why,")
    assert [line.split(",")[0] for line in bad[1:]] == ["2", "3", "4", "5", "6"]
    for line, words in zip(
        bad[1:],
        ("height: missing", "weight: not of", "height: above 9", "infinite", ";"),
        strict=True,
    ):
        assert words in line
    assert "example.com" not in "\n".join(bad)
    assert pd.read_parquet(tmp_path / "in.parquet")["number"].tolist() == [1, 2]


def test_a_run_that_was_stopped_goes_on(
    served: Project, asked_rows: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    good = (asked_rows / "b.csv").read_text()
    (asked_rows / "b.csv").write_text("number,weight\n1,2\n")
    said = served.mlops("score", "dev", str(asked_rows), str(out), expect=1)
    assert "lacks the columns height" in said.err
    assert sorted(path.name for path in out.iterdir()) == ["a.parquet"]
    (asked_rows / "b.csv").write_text(good)
    again = served.ask("score", "dev", str(asked_rows), str(out))
    assert (again["files"], again["skipped"]) == (2, 1)
    # Another version, or another file of the name, is asked anew.
    assert served.ask("score", "dev", str(asked_rows), str(out), "--version", "1.1.0")["files"] == 3
    os.utime(asked_rows / "a.parquet", (1, 1))
    again = served.ask("score", "dev", str(asked_rows), str(out), "--version", "1.1.0")
    assert (again["files"], again["skipped"]) == (1, 2)


@pytest.mark.parametrize(
    ("name", "content", "words", "status"),
    [
        ("a.txt", b"x", "is no file, and no folder, of", 64),
        ("a.parquet", b"x" * 20, "cannot be read", 1),
        ("a.csv", b"number,weight,height\n", "has no rows", 1),
        ("a.jsonl", b"{", "cannot be read", 1),
        ("a.csv", b"weight,height\n1,2\n1,2,3\n", "cannot be read", 1),
    ],
)
def test_what_is_no_table_leaves_nothing(
    name: str, content: bytes, words: str, status: int, served: Project, tmp_path: Path
) -> None:
    (tmp_path / name).write_bytes(content)
    out = tmp_path / "out"
    said = served.mlops("score", "dev", str(tmp_path / name), str(out), expect=status)
    assert words in said.err
    assert not out.exists() or list(out.iterdir()) == []
