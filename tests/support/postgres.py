"""A Postgres server of this machine's package, on loopback, for as long as a test needs it."""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import pytest

PACKAGES = Path("/usr/lib/postgresql")  # of Debian and Ubuntu
PASSWORD = "hush-p@ss/word"
ZONE = "Asia/Tokyo"  # of the server: what is compared by it is nine hours off


@dataclass(frozen=True)
class Postgres:
    """A server: its port, and the address of its database."""

    port: int

    def url(self, password: str = PASSWORD, database: str = "postgres") -> str:
        return f"postgresql://keeper:{quote(password, '')}@127.0.0.1:{self.port}/{database}"

    def run(self, *statements: str) -> None:
        engine = self.engine()
        with engine.begin() as connection:
            for statement in statements:
                connection.exec_driver_sql(statement)
        engine.dispose()

    def engine(self) -> Any:
        import sqlalchemy as sa

        return sa.create_engine(self.url().replace("postgresql", "postgresql+psycopg"))


def programs() -> Path | None:
    """Where the newest server's programs are."""
    found = [path.parent for path in PACKAGES.glob("*/bin/initdb")]
    return max(found, key=lambda path: float(path.parent.name), default=None)


@contextmanager
def started() -> Iterator[Postgres]:
    """Start a server in a folder of its own; not as root, which Postgres refuses."""
    where = programs()
    if where is None:
        pytest.skip(f"no Postgres server is installed ({PACKAGES}); .ci/run installs it")
    # Not in pytest's folder, which only its owner may enter.
    folder = Path(tempfile.mkdtemp(prefix="postgres-"))
    user = "postgres" if os.geteuid() == 0 else None
    try:
        (folder / "password").write_text(PASSWORD)
        if user is not None:
            for path in (folder, folder / "password"):
                shutil.chown(path, user)
        data = str(folder / "data")
        make = [str(where / "initdb"), "-D", data, "-U", "keeper", "-A", "scram-sha-256"]
        make += ["-E", "UTF8", "--locale=C", "--no-sync", f"--pwfile={folder / 'password'}"]
        subprocess.run(make, user=user, cwd=folder, check=True, capture_output=True)
        with socket.socket() as one:
            one.bind(("127.0.0.1", 0))
            port = one.getsockname()[1]
        serve = [str(where / "postgres"), "-D", data, "-p", str(port), "-k", str(folder)]
        for setting in ("listen_addresses=127.0.0.1", "fsync=off", f"timezone={ZONE}"):
            serve += ["-c", setting]
        with (folder / "log").open("wb") as log:
            server = subprocess.Popen(serve, user=user, cwd=folder, stdout=log, stderr=log)
        try:
            _wait(where, port, server, folder / "log")
            yield Postgres(port)
        finally:
            with contextlib.suppress(ProcessLookupError):
                server.send_signal(signal.SIGINT)  # whoever is connected is sent away
            server.wait(30)
    finally:
        shutil.rmtree(folder)


def _wait(where: Path, port: int, server: subprocess.Popen[bytes], log: Path) -> None:
    ask = [str(where / "pg_isready"), "-q", "-h", "127.0.0.1", "-p", str(port)]
    for _ in range(300):
        if subprocess.run([*ask, "-t", "1"], cwd="/").returncode == 0:
            return
        if server.poll() is not None:
            break
        with contextlib.suppress(subprocess.TimeoutExpired):
            server.wait(0.1)
    raise AssertionError(log.read_text(errors="replace"))
