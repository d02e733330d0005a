"""What was asked and answered, written beside the requests' path; monitoring reads it.

Lines go into a queue that has an end: where it is full they are dropped, counted, and told. One
thread writes them in transactions; where the database fails, it tries again, and the queue waits.
"""

from __future__ import annotations

import logging
import sqlite3
import threading
import time
from collections import deque
from collections.abc import Callable, Iterable
from contextlib import closing
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

import msgspec

from gatewright.errors import Refused

TELL = logging.getLogger("gatewright.serving")
MOST = 100_000  # lines that wait
AT_ONCE = 1_000  # lines in a transaction
WAIT = 0.2  # seconds between looks at an empty queue, and before a failed write is tried again
TABLES = """\
CREATE TABLE IF NOT EXISTS answers (
  request TEXT NOT NULL, row INTEGER NOT NULL, at TEXT NOT NULL, environment TEXT,
  version TEXT NOT NULL, shadow INTEGER NOT NULL, asked_by TEXT, key TEXT NOT NULL,
  inputs TEXT NOT NULL, scores TEXT NOT NULL, recommends TEXT,
  PRIMARY KEY (request, row, version)
) WITHOUT ROWID;
CREATE TABLE IF NOT EXISTS feedback (
  request TEXT NOT NULL, row INTEGER NOT NULL, at TEXT NOT NULL, truth TEXT NOT NULL,
  told_by TEXT, number INTEGER PRIMARY KEY, UNIQUE (request, row, at, truth)
);
CREATE VIEW IF NOT EXISTS outcomes AS
  SELECT answers.*, truth, feedback.at AS known_at FROM answers
  JOIN feedback ON feedback.request = answers.request AND feedback.row = answers.row
  WHERE feedback.number = (
    SELECT max(number) FROM feedback AS later
    WHERE later.request = answers.request AND later.row = answers.row
  );
"""


class Line(NamedTuple):
    """One answer, as it is written: texts of JSON are made in the request, where that is quick."""

    request: str
    row: int
    at: str
    environment: str | None
    version: str
    shadow: int
    asked_by: str | None
    key: str
    inputs: str
    scores: str
    recommends: str | None


class Feedback(NamedTuple):
    """What came true of an answer, as JSON."""

    request: str
    row: int
    at: str
    truth: str
    told_by: str | None


def text_of(value: Any) -> str:
    """JSON, as the log holds it."""
    return msgspec.json.encode(value).decode()


@dataclass
class Log:
    """A queue before a SQLite database. `problem` is why the last write failed."""

    path: Path
    most: int = MOST
    sleep: Callable[[float], None] = time.sleep
    dropped: int = 0
    written: int = 0
    problem: str = ""
    _waiting: deque[Line | Feedback] = field(default_factory=deque)
    _tries: int = 25
    _stopping: threading.Event = field(default_factory=threading.Event)
    _thread: threading.Thread | None = None

    def start(self) -> Log:
        """Make the tables and begin to write. Raises Refused if the database cannot be opened."""
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            with closing(self._connect()) as database:
                database.executescript(TABLES)
        except (OSError, sqlite3.Error) as error:
            raise Refused(
                f"The log {self.path} cannot be opened ({error}), so nothing would be known of "
                "what is answered. Give another one: `--log FILE`."
            ) from None
        self._thread = threading.Thread(target=self._write, name="log")
        self._thread.start()
        return self

    def add(self, lines: Iterable[Line | Feedback]) -> bool:
        """Let lines wait to be written. False if some had to be dropped."""
        whole = True
        for line in lines:
            if len(self._waiting) >= self.most:
                self.dropped += 1
                whole = False
            else:
                self._waiting.append(line)
        return whole

    @property
    def waiting(self) -> int:
        return len(self._waiting)

    def stop(self, tries: int = 25) -> None:
        """Write what waits, and end; what cannot be written in so many tries is dropped."""
        self._tries = tries
        self._stopping.set()
        if self._thread is not None:
            self._thread.join()
        self.dropped += len(self._waiting)
        self._waiting.clear()

    def _connect(self) -> sqlite3.Connection:
        database = sqlite3.connect(self.path, timeout=5)
        database.execute("PRAGMA journal_mode=WAL")
        database.execute("PRAGMA synchronous=NORMAL")
        return database

    def _write(self) -> None:
        database: sqlite3.Connection | None = None
        failed = 0
        while True:
            stopping = self._stopping.is_set()
            batch = [self._waiting[at] for at in range(min(AT_ONCE, len(self._waiting)))]
            if not batch:
                if stopping:
                    break
                self._stopping.wait(WAIT)
                continue
            try:
                database = database or self._connect()
                with database:
                    _insert(database, batch)
            except sqlite3.Error as error:
                if not self.problem:
                    TELL.warning("The log cannot be written (%s); its lines wait.", error)
                self.problem = str(error)
                failed += 1
                if database is not None:
                    database.close()
                    database = None
                if stopping and failed >= self._tries:
                    break
                self.sleep(WAIT)
                continue
            for _ in batch:
                self._waiting.popleft()
            self.written += len(batch)
            self.problem, failed = "", 0
        if database is not None:
            database.close()


def _insert(database: sqlite3.Connection, batch: list[Line | Feedback]) -> None:
    """Once each: a batch that is tried again, or feedback that comes twice, changes nothing."""
    lines = [item for item in batch if isinstance(item, Line)]
    told = [item for item in batch if isinstance(item, Feedback)]
    marks = ", ".join("?" * 11)
    database.executemany(" ".join(("INSERT OR IGNORE INTO answers", "VALUES", f"({marks})")), lines)
    database.executemany(
        "INSERT OR IGNORE INTO feedback (request, row, at, truth, told_by) VALUES (?, ?, ?, ?, ?)",
        told,
    )
