"""Asking what is live: serve, bundle, key, score, export."""

from __future__ import annotations

import json
import subprocess
import sys
import tempfile
from collections.abc import Callable
from pathlib import Path

from gatewright.cli.parser import Arguments, Parser
from gatewright.errors import Misuse, Undecided

LOG = "serving.db"


def add_to(parser: Parser) -> None:
    serve = parser.command("serve", _serve, "answer over HTTP by the version that is live")
    serve.add_argument("env", nargs="?", help="the environment; or --bundle")
    serve.add_argument("--bundle", type=Path, help="a folder that `mlops bundle` made")
    serve.add_argument("--version", help="a version of the environment, and not what is live")
    serve.add_argument("--shadow", metavar="VERSION", help="ask this one too, and log its answers")
    serve.add_argument("--host", default="127.0.0.1")
    serve.add_argument("--port", type=int, default=8080)
    serve.add_argument("--keys", type=Path, help="a file of keys: `mlops key`")
    serve.add_argument("--rate", type=float, default=1_000, help="requests a second and key")
    serve.add_argument("--rows-a-day", type=int, default=10_000_000, help="rows a day and key")
    serve.add_argument("--tls-certificate", type=Path)
    serve.add_argument("--tls-key", type=Path)
    serve.add_argument("--log", type=Path, default=Path(LOG), help=f"a SQLite file ({LOG})")
    serve.add_argument("--no-log", action="store_true", help="keep nothing of what is asked")
    serve.add_argument(
        "--poll", type=float, default=60, help="seconds between looks for another version; 0: none"
    )
    bundle = parser.command("bundle", _bundle, "a version as a folder that a server reads")
    bundle.add_argument("env")
    bundle.add_argument("--version", help="a version of the environment, and not what is live")
    bundle.add_argument("--output", type=Path, required=True, metavar="FOLDER")
    key = parser.command("key", _key, "a fresh key for who may ask")
    key.add_argument("name")
    key.add_argument("--ends", default="never", metavar="DAY", help="its last day, or never")
    score = parser.command("score", _score, "answer all rows of files", reads=True)
    score.add_argument("env")
    score.add_argument("input", type=Path, help="a Parquet, CSV or JSON Lines file, or a folder")
    score.add_argument("output", type=Path, help="the folder that gets the answers")
    score.add_argument("--version", help="a version of the environment, and not what is live")
    export = parser.command("export", _export, "a version as SQL that answers in the database")
    export.add_argument("form", choices=["sql"])
    export.add_argument("env")
    export.add_argument("--version", help="a version of the environment, and not what is live")
    export.add_argument("--dialect", default="sqlite", choices=["sqlite", "duckdb", "postgres"])
    export.add_argument("--table", default="requests", help="the table that holds the requests")
    export.add_argument("--view", help="make a view of this name of it")


def _serve(arguments: Arguments) -> None:
    from gatewright.serving.access import Limits
    from gatewright.serving.server import Address, check_address, serve

    limits = Limits(arguments.rate, max(1, int(2 * arguments.rate)), arguments.rows_a_day)
    address = Address(
        host=arguments.host,
        port=arguments.port,
        keys=_path(arguments, arguments.keys),
        certificate=_path(arguments, arguments.tls_certificate),
        private=_path(arguments, arguments.tls_key),
    )
    check_address(address)  # before anything is fetched
    log = None if arguments.no_log else _path(arguments, arguments.log)
    if (arguments.env is None) == (arguments.bundle is None):
        raise Misuse("Say what answers: `mlops serve ENV`, or `mlops serve --bundle FOLDER`.")
    if arguments.bundle is not None:
        if arguments.version or arguments.shadow:
            raise Misuse("A bundle is one version; --version and --shadow need an environment.")
        folder = _path(arguments, arguments.bundle) or Path()
        serve(folder, address, log, _again(folder), arguments.poll, limits=limits)
        return
    with tempfile.TemporaryDirectory() as name:
        first = Path(name) / "first"
        _fetched(arguments.env, arguments.version, first)
        shadow = Path(name) / "shadow" if arguments.shadow else None
        if shadow:
            _fetched(arguments.env, arguments.shadow, shadow)
        fetch = _newer(arguments.env, Path(name), first) if arguments.version is None else _never
        print(
            f"http{'s' if address.certificate else ''}://{address.host}:{address.port}",
            file=sys.stderr,
        )
        serve(first, address, log, fetch, arguments.poll, shadow, limits)


def _path(arguments: Arguments, path: Path | None) -> Path | None:
    return None if path is None else arguments.called_from / path


def _never() -> None:
    return None


def _again(folder: Path) -> Callable[[], Path | None]:
    """Whether the bundle in a folder is another one than before."""
    from gatewright.serving.bundle import ABOUT

    def stamp() -> tuple[int, int]:
        status = (folder / ABOUT).stat()
        return status.st_mtime_ns, status.st_ino

    known = stamp() if (folder / ABOUT).exists() else (0, 0)

    def fetch() -> Path | None:
        nonlocal known
        if (now := stamp()) == known:
            return None
        known = now
        return folder

    return fetch


def _newer(environment: str, folder: Path, first: Path) -> Callable[[], Path | None]:
    """What is live now, if that changed. While the registry does not, nothing is fetched."""
    from gatewright.adapters.git import REMOTE, Git
    from gatewright.serving.bundle import ABOUT

    git, number = Git(Path()), 0
    known, seen = (first / ABOUT).read_bytes(), git("ls-remote", REMOTE, "refs/heads/registry")

    def fetch() -> Path | None:
        nonlocal known, number, seen
        if (tip := git("ls-remote", REMOTE, "refs/heads/registry")) == seen:
            return None
        number += 1
        found = folder / str(number)
        _fetched(environment, None, found)
        seen, before, known = tip, known, (found / ABOUT).read_bytes()
        return None if known == before else found

    return fetch


def _fetched(environment: str, version: str | None, folder: Path) -> None:
    """By a process of its own: what reads Git and DVC needs the memory of ten servers."""
    words = ["bundle", environment, "--output", str(folder)]
    words += ["--version", version] if version else []
    done = subprocess.run(
        [sys.executable, "-m", "gatewright", *words], capture_output=True, text=True
    )
    if done.returncode:
        said = done.stderr.strip().removeprefix("mlops bundle: ")
        raise Undecided(said or "What is live could not be fetched.")


def _bundle(arguments: Arguments) -> None:
    from gatewright.release.workspace import Workspace
    from gatewright.serving.fetch import fetch_bundle

    out = arguments.called_from / arguments.output
    about = fetch_bundle(Workspace(arguments.root), arguments.env, arguments.version, out)
    print(f"{arguments.output} answers as {about.version}, live in {arguments.env}.")


def _key(arguments: Arguments) -> None:
    from gatewright.serving.access import make_key

    key, line = make_key(arguments.name, arguments.ends)
    print(f"The key, told once: {key}", file=sys.stderr)
    print(line)


def _score(arguments: Arguments) -> None:
    from gatewright.release.progress import say
    from gatewright.release.workspace import Workspace
    from gatewright.serving.batch import score

    here = arguments.called_from
    files = (here / arguments.input, here / arguments.output)
    found = score(Workspace(arguments.root), arguments.env, arguments.version, *files, say)
    if arguments.json:
        print(json.dumps(vars(found)))
        return
    there = f", {found.skipped} files were there" if found.skipped else ""
    bad = f", {found.bad:,} rows in the quarantine ({arguments.output}/*.bad.csv)"
    print(f"{found.rows:,} rows answered by {found.version}{bad if found.bad else ''}{there}.")


def _export(arguments: Arguments) -> None:
    from gatewright.release.workspace import Workspace
    from gatewright.serving.export import export_sql

    workspace = Workspace(arguments.root)
    place = (arguments.env, arguments.version)
    print(export_sql(workspace, *place, arguments.dialect, arguments.table, arguments.view), end="")
