"""GitHub's REST API, as far as releases and settings need it.

https://docs.github.com/en/rest, version 2022-11-28. Reading is tried again when GitHub is down or
busy. Writing is tried again only where GitHub says that it did nothing: whoever writes looks
first, so that running the command again completes what a failure left.
"""

import json
import os
import re
import shutil
import subprocess
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.error import HTTPError, URLError
from urllib.parse import quote, urlencode, urlsplit
from urllib.request import HTTPRedirectHandler, Request, build_opener

from gatewright.adapters.git import REMOTE, Git
from gatewright.errors import Refused, Undecided

TIMEOUT = 15.0  # seconds, for one answer
PAUSES = (1.0, 2.0, 4.0)  # seconds between tries
LONGEST_WAIT = 60.0  # seconds that GitHub may ask us to wait
_URL = re.compile(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?")


class Missing(Refused):
    """There is no such thing, or the token may not see it."""


class Forbidden(Refused):
    """The token may not do this."""


class _NoRedirect(HTTPRedirectHandler):
    """A redirect would carry the token to another address."""

    def redirect_request(self, *_: Any) -> None:
        return None


_OPEN = build_opener(_NoRedirect)


@dataclass(frozen=True)
class GitHub:
    """One repository on GitHub. Paths are below /repos/OWNER/NAME unless they start with '/'."""

    host: str
    owner: str
    name: str

    @classmethod
    def of(cls, root: Path) -> "GitHub | None":
        """The repository that origin names, or None where origin is no GitHub.

        Origin alone decides: a variable could be set by anybody who starts the command.
        """
        git = Git(root)
        if not git.has_remote():
            return None
        match = _URL.fullmatch(git("config", "--get", f"remote.{REMOTE}.url"))
        server = urlsplit(os.environ.get("GITHUB_SERVER_URL", "")).hostname
        if match is None or match[1] not in ("github.com", server):
            return None
        return cls(*match.groups())

    @property
    def slug(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def page(self) -> str:
        """Where people see it."""
        return f"https://{self.host}/{self.slug}"

    def get(self, path: str, **query: Any) -> Any:
        return self._ask("GET", path, query)[0]

    def find(self, path: str, **query: Any) -> Any | None:
        """As `get`; None where there is no such thing."""
        try:
            return self.get(path, **query)
        except Missing:
            return None

    def every(self, path: str, key: str | None = None, **query: Any) -> list[Any]:
        """All items of a paged list; `key` names the list in an answer that wraps it."""
        items: list[Any] = []
        for page in range(1, 101):
            answer, headers = self._ask("GET", path, {**query, "per_page": 100, "page": page})
            items += answer[key] if key else answer
            if 'rel="next"' not in headers.get("Link", ""):
                return items
        raise Undecided(f"GitHub has more than 10,000 items under {path}; that cannot be right.")

    def send(self, method: str, path: str, body: Any = None) -> Any:
        """POST, PUT, PATCH or DELETE."""
        return self._ask(method, path, {}, body)[0]

    def _ask(
        self, method: str, path: str, query: dict[str, Any], body: Any = None
    ) -> tuple[Any, Any]:
        where = path if path.startswith("/") else f"/repos/{self.slug}/{path}".rstrip("/")
        url = _api(self.host) + quote(where) + (f"?{urlencode(query)}" if query else "")
        headers = {
            "Accept": "application/vnd.github+json",
            "X-GitHub-Api-Version": "2022-11-28",
            "User-Agent": f"mlops of {self.slug}",
        }
        if token := _token():
            headers["Authorization"] = f"Bearer {token}"
        data = None if body is None else json.dumps(body).encode()
        if data:
            headers["Content-Type"] = "application/json"
        said = f"{method} {where}"
        why = ""
        for pause in (*PAUSES, None):
            try:
                # The scheme is checked in _api.
                request = Request(url, data, headers, method=method)  # noqa: S310
                with _OPEN.open(request, timeout=TIMEOUT) as answer:
                    text = answer.read()
                    return json.loads(text) if text else None, answer.headers
            except HTTPError as error:
                refusal, wait = _judge(error, said)
                if refusal:
                    raise refusal from None
                why = f"it answered {error.code}"
                again = error.code in (403, 429) or method == "GET"
            except (URLError, TimeoutError, OSError, ValueError) as error:
                wait, why = 0.0, f"{getattr(error, 'reason', error)}"
                again = method == "GET"
            if pause is None or not again or wait > LONGEST_WAIT:
                break
            time.sleep(max(pause, wait))
        raise Undecided(
            f"GitHub could not be asked ({said}: {why}), so nothing rests on its answer. Look at "
            "https://www.githubstatus.com and run the command again: it goes on where it stopped."
        )


def _judge(error: HTTPError, said: str) -> tuple[Refused | None, float]:
    """What an answer that is no success means: a refusal, or how many seconds to wait."""
    try:
        told = json.loads(error.read() or b"{}")
    except (ValueError, OSError):
        told = {}
    told = told if isinstance(told, dict) else {}
    words = "; ".join(
        [str(told.get("message", error.reason)), *map(_detail, told.get("errors") or ())]
    )
    head = error.headers
    busy = head.get("Retry-After") or head.get("x-ratelimit-remaining") == "0"
    if error.code >= 500 or error.code == 429 or (error.code == 403 and busy):
        wait = head.get("Retry-After") or ""
        if not wait and head.get("x-ratelimit-remaining") == "0":
            return None, max(0.0, float(head.get("x-ratelimit-reset") or 0) - time.time())
        return None, float(wait) if wait.isdigit() else 0.0
    if error.code in (404, 410):
        return Missing(
            f"GitHub knows no such thing, or the token may not see it ({said}: {words})."
        ), 0.0
    if error.code in (401, 403):
        needs = head.get("X-Accepted-GitHub-Permissions")
        return Forbidden(
            f"GitHub did not allow it ({said}: {words}). "
            + (f"It needs {needs}. " if needs else "")
            + "In a workflow, give the job that permission; elsewhere, set GH_TOKEN to a token "
            "of somebody who may, for instance `GH_TOKEN=$(gh auth token)`."
        ), 0.0
    if error.code in (301, 302, 307, 308):
        return Refused(
            "The repository has moved. Point origin at its new address with "
            "`git remote set-url origin URL` and run again."
        ), 0.0
    return Refused(f"GitHub refused it ({said}: {error.code}, {words})."), 0.0


def _detail(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or " ".join(map(str, error.values())))
    return str(error)


def _api(host: str) -> str:
    default = "https://api.github.com" if host == "github.com" else f"https://{host}/api/v3"
    url = os.environ.get("GITHUB_API_URL") or default
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise Refused(f"GITHUB_API_URL is {url}; a token is only sent over https.")
    return url.rstrip("/")


def _token() -> str | None:
    for name in ("GH_TOKEN", "GITHUB_TOKEN"):
        if token := os.environ.get(name):
            return token
    if gh := shutil.which("gh"):
        done = subprocess.run([gh, "auth", "token"], capture_output=True, text=True)
        return done.stdout.strip() or None
    return None
