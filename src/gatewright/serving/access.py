"""Who may ask, and how much: keys that are known by their hash, a rate and a budget of rows a day.

A file of keys has a line a key: its name, the day on which it ends (or `never`) and its SHA-256. It
is read again when it changes, so a key is given or taken without a restart. Keys are 256 random
bits, so a plain hash keeps them (OWASP, Cryptographic Storage Cheat Sheet).
"""

from __future__ import annotations

import hashlib
import logging
import re
import secrets
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from pathlib import Path

from gatewright.errors import Misuse, Refused

PREFIX = "gw_"
_LINE = re.compile(r"([\w.@-]{1,100})\s+(never|\d{4}-\d\d-\d\d)\s+([0-9a-f]{64})")
TELL = logging.getLogger("gatewright.serving")
LOOK = 1.0  # seconds between looks at the file


@dataclass(frozen=True)
class Key:
    name: str
    ends: date | None


@dataclass(frozen=True)
class Limits:
    """rate: requests a second and key, on average; burst: at once. rows: a day (UTC) and key."""

    rate: float = 1_000.0
    burst: int = 2_000
    rows: int = 10_000_000


def make_key(name: str, ends: str) -> tuple[str, str]:
    """A fresh key, to be told once, and its line for the file. Raises Misuse for a wrong word."""
    key = PREFIX + secrets.token_urlsafe(32)
    line = f"{name} {ends} {_hash(key)}"
    _parsed(line, Misuse)
    return key, line


def _hash(key: str) -> str:
    return hashlib.sha256(key.encode()).hexdigest()


def _parsed(line: str, error: type[Refused]) -> tuple[str, Key]:
    found = _LINE.fullmatch(line.strip())
    try:
        if found is None:
            raise ValueError
        ends = None if found[2] == "never" else date.fromisoformat(found[2])
    except ValueError:
        raise error(
            f"'{line.strip()[:60]}' is no line of a file of keys: NAME, the day on which it ends "
            "(2027-12-31) or never, and a SHA-256. Make one with `mlops key NAME --ends DAY`."
        ) from None
    return found[3], Key(found[1], ends)


def parse_keys(text: str) -> dict[str, Key]:
    """Keys by their hash. Raises Refused for a line that is none."""
    lines = [line for line in text.splitlines() if line.strip() and not line.startswith("#")]
    return dict(_parsed(line, Refused) for line in lines)


class Keys:
    """The keys of a file, as it is now. A file that cannot be read leaves those known before."""

    def __init__(
        self,
        path: Path,
        clock: Callable[[], float] = time.monotonic,
        today: Callable[[], date] = lambda: datetime.now(UTC).date(),
    ) -> None:
        self.path, self._clock, self._today = path, clock, today
        self.problem = ""
        self._known = parse_keys(self._text())
        if not self._known:
            raise Refused(f"{path} holds no key, so nobody could ask. `mlops key NAME --ends DAY`.")
        self._stamp, self._looked = self._stamped(), clock()

    def find(self, key: str) -> Key | None:
        """The key, if it is known and has not ended."""
        self._look()
        found = self._known.get(_hash(key))
        if found is None or (found.ends is not None and found.ends < self._today()):
            return None
        return found

    def _look(self) -> None:
        now = self._clock()
        if now - self._looked < LOOK:
            return
        self._looked = now
        try:
            if (stamp := self._stamped()) == self._stamp:
                return
            self._known, self._stamp, self.problem = parse_keys(self._text()), stamp, ""
        except Refused as error:
            if str(error) != self.problem:
                TELL.warning("%s The keys known before stay.", error)
            self.problem = str(error)

    def _text(self) -> str:
        try:
            return self.path.read_text(encoding="utf-8")
        except (OSError, UnicodeDecodeError) as error:
            raise Refused(f"The file of keys {self.path} cannot be read ({error}).") from None

    def _stamped(self) -> tuple[int, int, int]:
        try:
            status = self.path.stat()
        except OSError as error:
            raise Refused(f"The file of keys {self.path} cannot be read ({error}).") from None
        return status.st_mtime_ns, status.st_size, status.st_ino


@dataclass
class _Use:
    tokens: float
    at: float
    day: date
    rows: int = 0


@dataclass
class Budget:
    """What each key has used."""

    limits: Limits
    clock: Callable[[], float] = time.monotonic
    today: Callable[[], date] = lambda: datetime.now(UTC).date()
    used: dict[str, _Use] = field(default_factory=dict)

    def take(self, name: str, rows: int) -> str | None:
        """Count a request of so many rows; why it is too much, or None. What is refused is free."""
        now, today, limits = self.clock(), self.today(), self.limits
        use = self.used.get(name)
        if use is None or use.day != today:
            tokens = use.tokens if use else float(limits.burst)
            use = self.used[name] = _Use(tokens, use.at if use else now, today)
        passed = max(0.0, now - use.at)
        use.tokens = min(float(limits.burst), use.tokens + passed * limits.rate)
        use.at = now
        if use.tokens < 1:
            return f"more than {limits.rate:g} requests a second"
        if use.rows + rows > limits.rows:
            return f"more than {limits.rows:,} rows a day; {use.rows:,} were answered today"
        use.tokens -= 1
        use.rows += rows
        return None
