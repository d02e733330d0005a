"""Scanners: each finds what is planted, and one that could not look is no clean bill."""

from __future__ import annotations

import base64
import json
import random
import socket
import ssl
import string
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager, suppress
from datetime import UTC, datetime, timedelta
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID
from parcels import Project

from gatewright.errors import Refused
from gatewright.security import scanners
from gatewright.security.waivers import read_waivers

ROOT = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
TOMORROW = (datetime.now(UTC) + timedelta(days=1)).date()
YESTERDAY = TOMORROW - timedelta(days=2)
draw = random.Random(5)


@pytest.fixture
def project(tmp_path: Path) -> Project:
    """A repository with one module, one test, a lock of one package and no waiver."""
    project = Project(tmp_path / "project")
    files = {
        "contract.yaml": "",
        "gates.yaml": (ROOT / "gates.yaml").read_text(),
        "security/waivers.yaml": "waivers: []\n",
        "security/secrets.yaml": (ROOT / "security/secrets.yaml").read_text(),
        "src/app/work.py": "def double(n: int) -> int:\n    return 2 * n\n",
        "tests/test_work.py": "def test_it() -> None:\n    assert 2 * 2 == 4\n",
        "pyproject.toml": TOY,
        "uv.lock": LOCK,
        ".github/workflows/ci.yml": WORKFLOW,
    }
    for name, text in files.items():
        path = project.root / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
    project.git("init", "--quiet")
    project.commit("Start")
    return project


def write(project: Project, path: str, text: str) -> None:
    target = project.root / path
    target.parent.mkdir(parents=True, exist_ok=True)
    target.write_text(text, encoding="utf-8")


def waive(project: Project, *waivers: dict[str, Any]) -> None:
    common = {"reason": "Nothing mends it yet.", "owner": "ada", "expires": str(TOMORROW)}
    listed = [{**common, **waiver} for waiver in waivers]
    write(project, "security/waivers.yaml", json.dumps({"waivers": listed}))


# Code

RISKY = "def risky(text: str) -> object:\n    return eval(text)\n"


def test_good_code_is_clean(project: Project) -> None:
    assert project.mlops("scan", "code").out == "Clean: code.\n"


def test_risky_code_is_found(project: Project) -> None:
    write(project, "src/app/risky.py", RISKY)
    said = project.mlops("scan", "code", expect=1).out
    assert "bandit B307 in src/app/risky.py:2" in said
    assert "security/waivers.yaml" in said


def test_a_comment_waives_nothing(project: Project) -> None:
    write(project, "src/app/risky.py", RISKY.replace("eval(text)", "eval(text)  # nosec B307"))
    assert project.ask("scan", "code", expect=1)["open"][0]["id"] == "B307"


def test_code_that_cannot_be_read_is_not_clean(project: Project) -> None:
    write(project, "src/app/broken.py", "def (:\n")
    said = project.mlops("scan", "code", expect=2).err
    assert "bandit did not scan" in said
    assert "broken.py" in said


def test_no_code_is_not_clean(project: Project) -> None:
    (project.root / "src/app/work.py").unlink()
    assert "no line of code in src" in project.mlops("scan", "code", expect=2).err


def test_a_scanner_that_is_not_there_is_told(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(sys, "executable", "/nowhere/python")
    with pytest.raises(scanners.NotScanned, match="not installed"):
        scanners.code(project.root)


# Waivers


def test_what_is_waived_waits_and_is_shown(project: Project) -> None:
    write(project, "src/app/risky.py", RISKY)
    waive(project, {"tool": "bandit", "id": "B307", "where": "src/app/risky.py"})
    said = project.mlops("scan", "code").out
    assert said.startswith(f"waits until {TOMORROW} (ada): bandit B307")


def test_a_waiver_for_another_place_waives_nothing(project: Project) -> None:
    write(project, "src/app/risky.py", RISKY)
    waive(project, {"tool": "bandit", "id": "B307", "where": "src/app/work.py"})
    answer = project.ask("scan", "code", expect=1)
    assert len(answer["open"]) == 1
    assert answer["unused waivers"] == ["B307"]


def test_a_waiver_that_waives_nothing_fails(project: Project) -> None:
    waive(project, {"tool": "bandit", "id": "B307"})
    said = project.mlops("scan", "code", expect=1).out
    assert "the waiver of bandit B307 waives nothing; remove it" in said


WRONG_WAIVERS = {
    "expired": ({"expires": str(YESTERDAY)}, r"line \d+: the waiver of B307 expired on"),
    "no such scanner": ({"tool": "clippy"}, "tool: Input should be 'bandit'"),
    "no reason": ({"reason": "meh"}, "at least 10 characters"),
    "nobody": ({"owner": ""}, "at least 1 character"),
    "for ever": ({"expires": None}, "valid date"),
    "a typo": ({"ids": "B307"}, "Extra inputs are not permitted"),
}


@pytest.mark.parametrize(("change", "words"), WRONG_WAIVERS.values(), ids=WRONG_WAIVERS.keys())
def test_a_wrong_waiver_is_refused(change: dict[str, Any], words: str, project: Project) -> None:
    waive(project, {"tool": "bandit", "id": "B307"} | change)
    with pytest.raises(Refused, match=words):
        read_waivers(project.root)
    project.mlops("scan", "code", expect=1)


def test_a_finding_is_waived_once(project: Project) -> None:
    waive(project, *[{"tool": "bandit", "id": "B307"}] * 2)
    with pytest.raises(Refused, match="waived twice"):
        read_waivers(project.root)


def test_without_the_file_nothing_is_clean(project: Project) -> None:
    (project.root / "security/waivers.yaml").unlink()
    assert "cannot be read" in project.mlops("scan", "code", expect=1).err


# Packages: the advisory service stands on loopback and speaks OSV's protocol

TOY = """\
[project]
name = "toy"
version = "0"
requires-python = ">=3.11"
dependencies = ["jinja2"]
"""
LOCK = """\
version = 1
revision = 3
requires-python = ">=3.11"

[[package]]
name = "jinja2"
version = "2.4.1"
source = { registry = "SCHEME://packages.example/simple" }
sdist = { url = "https://packages.example/j.tar.gz", hash = "sha256:ZEROS", size = 1 }

[[package]]
name = "toy"
version = "0"
source = { virtual = "." }
dependencies = [{ name = "jinja2" }]

[package.metadata]
requires-dist = [{ name = "jinja2" }]
""".replace("SCHEME", "https").replace("ZEROS", "0" * 64)
AFFECTED = {
    "package": {"ecosystem": "PyPI", "name": "jinja2"},
    "ranges": [{"type": "ECOSYSTEM", "events": [{"introduced": "0"}, {"fixed": "2.7.2"}]}],
}
# As the service published it: https://osv.dev/vulnerability/PYSEC-2014-8
WEAK = {"id": "PYSEC-2014-8", "details": "The default configuration is weak."}
Answer = Callable[[str], tuple[int, bytes]]


@contextmanager
def serving(answer: Answer) -> Iterator[str]:
    class Handler(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_POST(self) -> None:
            query = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            status, body = answer(f"{query['package']['name']} {query['version']}")
            self.send_response(status)
            self.send_header("Content-Length", str(len(body)))
            self.end_headers()
            self.wfile.write(body)

    with ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        yield f"http://127.0.0.1:{server.server_address[1]}/v1/query"
        server.shutdown()


@pytest.fixture
def advisories(monkeypatch: pytest.MonkeyPatch) -> Callable[[Answer], Any]:
    @contextmanager
    def speaking(answer: Answer) -> Iterator[None]:
        with serving(answer) as url:
            monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
            monkeypatch.setenv("PIP_AUDIT_OSV_URL", url)
            yield

    return speaking


def knowing(*advisories: dict[str, Any]) -> Answer:
    def answer(package: str) -> tuple[int, bytes]:
        known = list(advisories) if package == "jinja2 2.4.1" else []
        return 200, json.dumps({"vulns": known} if known else {}).encode()

    return answer


def test_packages_that_nobody_warns_of_are_clean(project: Project, advisories: Any) -> None:
    with advisories(knowing()):
        assert project.mlops("scan", "packages").out == "Clean: packages.\n"


def test_a_package_that_is_known_to_be_weak_is_found(project: Project, advisories: Any) -> None:
    with advisories(knowing(WEAK | {"affected": [AFFECTED]})):
        said = project.mlops("scan", "packages", expect=1).out
        assert "pip-audit PYSEC-2014-8 in uv.lock: jinja2 2.4.1 is known to be weak" in said
        assert "mended in 2.7.2" in said
        waive(project, {"tool": "pip-audit", "id": "PYSEC-2014-8"})
        project.mlops("scan", "packages")
    with advisories(knowing()):
        assert "waives nothing" in project.mlops("scan", "packages", expect=1).out


def test_a_package_of_another_platform_or_in_two_versions_is_asked_about(
    project: Project, advisories: Any
) -> None:
    """Locked for others, and for other Pythons: pip-audit would leave out what is not for here."""
    other = LOCK.replace(
        '{ name = "jinja2" }', """{ name = "jinja2", marker = "os_name == 'x'" }"""
    )
    write(project, "uv.lock", other)
    with advisories(knowing(WEAK | {"affected": [AFFECTED]})):
        said = project.mlops("scan", "packages", expect=1).out
        assert "jinja2 2.4.1 is known to be weak" in said
    lists, names = scanners._of_every_platform(
        "a==1 ; x == 'y' \\\n    --hash=p\nb==2 \\\n    --hash=q\na==3 ; z \\\n    --hash=r\n"
    )
    assert lists == ["a==1 \\\n    --hash=p\nb==2 \\\n    --hash=q\n", "a==3 \\\n    --hash=r\n"]
    assert names == {"a", "b"}


SILENT = {
    "down": lambda _: (500, b""),
    "rubbish": lambda _: (200, b"<html>"),
    "half an answer": lambda _: (200, b'{"vulns": [{'),
    "an advisory that says not what it affects": knowing(WEAK),
    "a protocol that is not known": knowing(
        WEAK | {"affected": [AFFECTED], "schema_version": "2.0.0"}
    ),
}


@pytest.mark.parametrize("answer", SILENT.values(), ids=SILENT.keys())
def test_a_service_that_does_not_answer_is_no_clean_bill(
    answer: Answer, project: Project, advisories: Any
) -> None:
    with advisories(answer):
        assert "pip-audit did not scan" in project.mlops("scan", "packages", expect=2).err


def test_a_service_that_is_not_there_is_no_clean_bill(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "osv")
    monkeypatch.setenv("PIP_AUDIT_OSV_URL", "http://127.0.0.1:9/v1/query")
    assert "pip-audit did not scan" in project.mlops("scan", "packages", expect=2).err


def test_a_service_that_never_answers_is_no_clean_bill(
    project: Project, advisories: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    end = threading.Event()
    monkeypatch.setattr(scanners, "TIMEOUT", 3)
    with advisories(lambda _: (200, b"{}" if end.wait(30) else b"")):
        assert "within 3 seconds" in project.mlops("scan", "packages", expect=2).err
        end.set()


def certificate(folder: Path) -> Path:
    """A certificate for the advisory service of PyPI, of nobody's making but ours."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "pypi.org")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder(name, name, key.public_key(), x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.DNSName("pypi.org")]), False)
        .sign(key, hashes.SHA256())
    )
    pem = key.private_bytes(
        serialization.Encoding.PEM,
        serialization.PrivateFormat.PKCS8,
        serialization.NoEncryption(),
    )
    path = folder / "pypi.pem"
    path.write_bytes(made.public_bytes(serialization.Encoding.PEM) + pem)
    return path


def test_a_package_that_the_service_does_not_know_is_no_clean_bill(
    project: Project, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    """PyPI's own service says 404, as it does of what only a mirror has."""
    pem = certificate(tmp_path)
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    context.load_cert_chain(pem)

    class Proxy(BaseHTTPRequestHandler):
        def log_message(self, *_: Any) -> None:
            pass

        def do_CONNECT(self) -> None:
            self.send_response(200)
            self.end_headers()
            with context.wrap_socket(self.connection, server_side=True) as inside:
                inside.recv(65536)
                inside.sendall(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
            self.close_connection = True

    with ThreadingHTTPServer(("127.0.0.1", 0), Proxy) as server:
        threading.Thread(target=server.serve_forever, args=(0.02,), daemon=True).start()
        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.server_address[1]}")
        monkeypatch.setenv("REQUESTS_CA_BUNDLE", str(pem))
        monkeypatch.setenv("PIP_CACHE_DIR", str(tmp_path / "cache"))
        monkeypatch.setenv("PIP_AUDIT_VULNERABILITY_SERVICE", "pypi")
        said = project.mlops("scan", "packages", expect=2).err
        server.shutdown()
    assert "could not be audited: jinja2 (2.4.1)" in said


def test_what_is_live_is_scanned_by_the_lock_that_it_was_made_with(
    trained: Project, advisories: Any
) -> None:
    """Mended on main, and still in production: only the scan of production sees it."""
    write(trained, "pyproject.toml", TOY)
    write(trained, "uv.lock", LOCK)
    write(trained, "security/waivers.yaml", "waivers: []\n")
    trained.commit("Lock")
    trained.git("push", "--quiet")
    trained.mlops("register")
    trained.mlops("promote", "1.0.0", "--to", "dev")
    write(trained, "uv.lock", LOCK.replace("2.4.1", "3.1.6"))
    trained.commit("Mend")
    with advisories(knowing(WEAK | {"affected": [AFFECTED]})):
        trained.mlops("scan", "packages")
        said = trained.mlops("scan", "packages", "--live", "dev", expect=1).out
        assert "PYSEC-2014-8 in dev: jinja2 2.4.1" in said
        waive(trained, {"tool": "pip-audit", "id": "PYSEC-2014-8", "where": "dev"})
        assert (
            "the packages of 1.0.0 in dev" in trained.mlops("scan", "packages", "--live", "dev").out
        )
        trained.mlops("scan", "packages")
        said = trained.mlops("scan", "packages", "--live", "staging").out
        assert "Clean: nothing is live in staging" in said


# Secrets, made up where they are needed: none may stand in this file

LETTERS, ANY = string.ascii_letters, string.ascii_letters + string.digits


def drawn(n: int, alphabet: str = ANY) -> str:
    return "".join(draw.choice(alphabet) for _ in range(n))


def notebook(source: str, output: str = "") -> str:
    cell = {"cell_type": "code", "source": [source], "outputs": [{"text": [output]}]}
    return json.dumps({"cells": [cell]})


def pem() -> str:
    body = base64.b64encode(draw.randbytes(1200)).decode()
    kind = "PRIVATE KEY"
    return f"-----BEGIN {kind}-----\n{body}\n-----END {kind}-----\n"


PLANTED: dict[str, Callable[[], tuple[str, str]]] = {
    "GitHub token in code": lambda: ("src/a.py", f'token = "ghp_{drawn(36)}"\n'),
    "fine-grained token in YAML": lambda: ("a.yaml", f"token: github_pat_{drawn(82)}\n"),
    "GitLab token in a data sample": lambda: ("sample.csv", f'id,note\n1,"glpat-{drawn(20)}"\n'),
    "OpenAI key in a notebook": lambda: (
        "a.ipynb",
        notebook(f"key = 'sk-proj-{drawn(74)}T3BlbkFJ{drawn(74)}'\n"),
    ),
    "Hugging Face token in a notebook's output": lambda: (
        "a.ipynb",
        notebook("print(token)", f"hf_{drawn(34, LETTERS)}"),
    ),
    "AWS keys in INI": lambda: (
        "credentials.ini",
        f"[default]\naws_access_key_id = AKIA{drawn(16, string.ascii_uppercase + '234567')}\n"
        f"aws_secret_access_key = {drawn(40)}\n",
    ),
    "Slack token in TOML": lambda: (
        "a.toml",
        f'slack = "xoxb-{drawn(12, "123456789")}-{drawn(13, "123456789")}-{drawn(24)}"\n',
    ),
    "SendGrid key in JSON": lambda: ("a.json", f'{{"k": "SG.{drawn(22)}.{drawn(43)}"}}\n'),
    "npm token": lambda: ("a.txt", f"//npm.example/:_authToken=npm_{drawn(36)}\n"),
    "Anthropic key in code": lambda: ("src/a.py", f'key = "sk-ant-api03-{drawn(93)}AA"\n'),
    "password in an address": lambda: (
        "conf.env",
        f"URL=postgres://admin:{drawn(16)}@db.prod-host.net:5432/x\n",
    ),
    "password in a shell script": lambda: (
        "a.sh",
        f"curl -u admin:{drawn(20)} https://api.prod-host.net/\n",
    ),
    "private key in text": lambda: ("notes.txt", pem()),
    "private key inside JSON": lambda: ("account.json", json.dumps({"private_key": pem()})),
    "a value of no known shape": lambda: ("a.yaml", f"client_secret: {drawn(40)}\n"),
}


@pytest.mark.parametrize("make", PLANTED.values(), ids=PLANTED.keys())
def test_a_planted_secret_is_found_and_not_printed(
    make: Callable[[], tuple[str, str]], project: Project
) -> None:
    path, text = make()
    write(project, path, text)
    answer = project.ask("scan", "secrets", expect=1)
    assert {found["where"] for found in answer["open"]} == {path}
    said = project.mlops("scan", "secrets", expect=1).out
    assert not any(word in said for word in text.split('"') if len(word) > 20)


HARMLESS = """\
secret = private.splitlines()[2]
token = os.environ["GITHUB_TOKEN"]
password: ${{ secrets.PASSWORD }}
digest = "3d3c42e5aac5ba805825da76410c181273ba90b1"
api_key: the-name-of-the-key
"""


def test_what_is_no_secret_is_left_alone(project: Project) -> None:
    write(project, "src/harmless.txt", HARMLESS)
    assert project.mlops("scan", "secrets").out == "Clean: secrets.\n"


def test_a_comment_does_not_hide_a_secret(project: Project) -> None:
    write(project, "src/a.py", f'token = "ghp_{drawn(36)}"  # kingfisher:ignore\n')
    project.mlops("scan", "secrets", expect=1)


def test_what_was_removed_is_still_in_the_history(project: Project) -> None:
    write(project, "src/a.py", f'x = "ghp_{drawn(36)}"\n')
    project.commit("Oh")
    (project.root / "src/a.py").unlink()
    project.commit("Gone")
    project.mlops("scan", "secrets")
    answer = project.ask("scan", "secrets", "--history", expect=1)
    (found,) = answer["open"]
    assert found["where"] == "src/a.py"
    waive(project, {"tool": "kingfisher", "id": found["id"]})
    project.mlops("scan", "secrets", "--history")
    project.mlops("scan", "secrets")


def test_a_shallow_clone_has_no_history_to_scan(project: Project, tmp_path: Path) -> None:
    write(project, "more.txt", "more\n")
    project.commit("More")
    project.git("clone", "--quiet", "--depth", "1", f"file://{project.root}", str(tmp_path / "c"))
    said = Project(tmp_path / "c").mlops("scan", "secrets", "--history", expect=2).err
    assert "this clone is shallow" in said


def test_without_its_rules_nothing_was_scanned(project: Project) -> None:
    (project.root / "security/secrets.yaml").unlink()
    assert "kingfisher did not scan" in project.mlops("scan", "secrets", expect=2).err


# Workflows

WORKFLOW = """\
name: ci
on: push
permissions: {}
concurrency:
  group: ci-${{ github.ref }}
  cancel-in-progress: true
jobs:
  test:
    name: test
    runs-on: ubuntu-latest
    timeout-minutes: 5
    permissions:
      contents: read # to check out
    steps:
      - uses: actions/checkout@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1
        with:
          persist-credentials: false
"""
WEAKENED = {
    "unpinned-uses": ("@3d3c42e5aac5ba805825da76410c181273ba90b1 # v7.0.1", "@v7"),
    "excessive-permissions": ("permissions: {}", "permissions: write-all"),
    "dangerous-triggers": ("on: push", "on: pull_request_target"),
    "template-injection": (
        "          persist-credentials: false\n",
        "          persist-credentials: false\n      - run: echo ${{ github.head_ref }}\n",
    ),
    "artipacked": ("persist-credentials: false", "persist-credentials: true"),
}


@pytest.mark.parametrize("audit", WEAKENED)
def test_a_weakened_workflow_is_found(audit: str, project: Project) -> None:
    project.mlops("scan", "workflows")
    project.edit(".github/workflows/ci.yml", *WEAKENED[audit])
    answer = project.ask("scan", "workflows", expect=1)
    assert {found["id"] for found in answer["open"]} >= {audit}
    assert {found["where"] for found in answer["open"]} == {".github/workflows/ci.yml"}


def test_a_workflow_that_cannot_be_read_is_not_clean(project: Project) -> None:
    write(project, ".github/workflows/ci.yml", "jobs: [")
    assert "zizmor did not scan" in project.mlops("scan", "workflows", expect=2).err


def test_in_a_workflow_the_audits_that_ask_github_are_not_left_out(
    project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("GITHUB_ACTIONS", "true")
    assert "it has no token" in project.mlops("scan", "workflows", expect=2).err


@pytest.mark.parametrize("answer", [None, b"", b"HTTP/1.1 502 Bad Gateway\r\n\r\n", b"what?"])
def test_where_github_does_not_answer_workflows_are_not_clean(
    answer: bytes | None, project: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """It is reached through a proxy that is not there, says nothing, refuses, or babbles."""
    monkeypatch.setenv("GH_TOKEN", "x")
    monkeypatch.setenv("XDG_CACHE_HOME", str(project.root.parent))  # nothing is known yet
    monkeypatch.setenv("HOME", str(project.root.parent))
    monkeypatch.delenv("ZIZMOR_OFFLINE", raising=False)
    monkeypatch.setattr(scanners, "TIMEOUT", 5)
    with socket.create_server(("127.0.0.1", 0)) as server:

        def serve() -> None:
            with ExitStack() as held, suppress(OSError):  # until it is shut down
                while answer is not None:
                    caller, _ = server.accept()
                    held.enter_context(caller).sendall(answer)

        monkeypatch.setenv("HTTPS_PROXY", f"http://127.0.0.1:{server.getsockname()[1]}")
        if answer is None:
            server.close()
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        said = project.mlops("scan", "workflows", expect=2).err
        if answer is not None:
            server.shutdown(socket.SHUT_RDWR)  # which wakes the thread
        thread.join()
    assert "zizmor did not scan" in said
    assert "backtrace" not in said


def test_a_scan_takes_only_what_it_is_for(project: Project) -> None:
    project.mlops("scan", "code", "--history", expect=64)
    project.mlops("scan", "secrets", "--live", "dev", expect=64)
    project.mlops("scan", "packages", "--live", "nowhere", expect=64)
