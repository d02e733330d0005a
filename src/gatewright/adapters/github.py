"""GitHub's REST API, as far as releases and settings need it.

https://docs.github.com/en/rest, version 2022-11-28. Reading is tried again when GitHub is down or
busy. Writing is tried again only where GitHub says that it did nothing: whoever writes looks
first, so that running the command again completes what a failure left.
"""

from __future__ import annotations

import re
import shutil
import subprocess
import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar
from urllib.parse import quote, urlsplit

from gatewright.adapters.git import REMOTE, Git
from gatewright.errors import Refused, Undecided
from gatewright.run_context import current

if TYPE_CHECKING:  # most commands ask GitHub nothing, and importing it takes a third of a second
    from types import TracebackType
    from typing import Self

    from requests import PreparedRequest, Response
    from urllib3 import BaseHTTPResponse, Retry

HOST = "github.com"
TIMEOUT = 15.0  # seconds, for one answer
PAUSES = (1.0, 2.0, 4.0)  # seconds between tries
LONGEST_WAIT = 60.0  # seconds that GitHub may ask us to wait
_URL = re.compile(r"(?:https://|ssh://git@|git@)([\w.-]+)[:/]([\w.-]+)/([\w.-]+?)(?:\.git)?/?")
T = TypeVar("T")


class Missing(Refused):
    """There is no such thing, or the token may not see it."""


class Forbidden(Refused):
    """The token may not do this."""


@dataclass(frozen=True)
class GitHub:
    """One repository on GitHub. Paths are below /repos/OWNER/NAME unless they start with '/'.

    `kind` is what an answer is read as: a class of `github_answers`, or plain data.
    """

    host: str
    owner: str
    name: str
    token: str | None = field(default=None, repr=False)  # of a GitHub App; else the job's

    @classmethod
    def of(cls, root: Path) -> GitHub | None:
        """The repository that origin names, or None where origin is no GitHub.

        Origin alone decides: a variable could be set by anybody who starts the command.
        """
        git = Git(root)
        if not git.has_remote():
            return None
        match = _URL.fullmatch(git("config", "--get", f"remote.{REMOTE}.url"))
        server = urlsplit(current().server or "").hostname
        if match is None or match[1] not in (HOST, server):
            return None
        if match[1] != HOST and not match[1].endswith(".ghe.com"):
            raise Refused(
                f"{match[1]} is a GitHub Enterprise Server, and the workflows do not run there: "
                "they need paths like `$/` for actions, artifacts of version 4 and newer, and "
                "attestations, which it does not have. Host the repository on github.com or on "
                "Enterprise Cloud (NAME.ghe.com); on the server, release from a laptop only."
            )
        return cls(*match.groups())

    @property
    def slug(self) -> str:
        return f"{self.owner}/{self.name}"

    @property
    def page(self) -> str:
        """Where people see it."""
        return f"https://{self.host}/{self.slug}"

    def get(self, path: str, kind: type[T], **query: Any) -> T:
        return _read(kind, self._ask("GET", path, query), path)

    def find(self, path: str, kind: type[T], **query: Any) -> T | None:
        """As `get`; None where there is no such thing."""
        try:
            return self.get(path, kind, **query)
        except Missing:
            return None

    def every(self, path: str, kind: type[T], key: str | None = None, **query: Any) -> list[T]:
        """All items of a paged list; `key` names the list in an answer that wraps it."""
        items: list[T] = []
        for page in range(1, 101):
            answer = self._ask("GET", path, {**query, "per_page": 100, "page": page})
            listed = _read(dict[str, Any], answer, path).get(key) if key else _json(answer)
            items += _read(list[kind], listed, path)  # type: ignore[valid-type]
            if "next" not in answer.links:
                return items
        raise Undecided(f"GitHub has more than 10,000 items under {path}; that cannot be right.")

    def send(self, method: str, path: str, body: Any = None) -> None:
        """POST, PUT, PATCH or DELETE."""
        self._ask(method, path, {}, body)

    def make(self, method: str, path: str, body: Any, kind: type[T]) -> T:
        """As `send`; what was made."""
        return _read(kind, self._ask(method, path, {}, body), path)

    def _ask(self, method: str, path: str, query: Mapping[str, Any], body: Any = None) -> Response:
        """GitHub's answer, which is a success. Raises Refused and Undecided otherwise."""
        import requests
        from requests.adapters import HTTPAdapter

        where = path if path.startswith("/") else f"/repos/{self.slug}/{path}".rstrip("/")
        url = _api(self.host) + quote(where)
        asked = f"{method} {where}"
        with requests.Session() as session:
            session.mount(url, HTTPAdapter(max_retries=_patience()))
            try:
                answer = session.request(
                    method,
                    url,
                    params=dict(query),
                    json=body,
                    headers={
                        "Accept": "application/vnd.github+json",
                        "X-GitHub-Api-Version": "2022-11-28",
                        "User-Agent": f"mlops of {self.slug}",
                    },
                    auth=_Bearer(self.token or _token()),
                    timeout=TIMEOUT,
                    allow_redirects=False,  # it would carry the token to another address
                )
            except requests.RequestException as error:
                raise _not_asked(asked, _innermost(error)) from None
        if answer.ok and not answer.is_redirect:
            return answer
        if answer.status_code >= 500 or _is_busy(answer.status_code, answer.headers):
            raise _not_asked(asked, f"it answered {answer.status_code}")
        raise _refusal(answer, asked)


@dataclass(frozen=True)
class _Bearer:
    """Signs a request, so that nothing in ~/.netrc does."""

    token: str | None

    def __call__(self, request: PreparedRequest) -> PreparedRequest:
        if self.token:
            request.headers["Authorization"] = f"Bearer {self.token}"
        return request


def _patience() -> Retry:
    """When and how long to wait before asking again (urllib3's Retry)."""
    from urllib3.exceptions import MaxRetryError
    from urllib3.util import Retry

    class Patience(Retry):
        """Any method where GitHub says that it did nothing; reading also where it failed."""

        def is_retry(self, method: str, status_code: int, has_retry_after: bool = False) -> bool:
            return status_code in (403, 429) or (status_code >= 500 and method == "GET")

        def increment(
            self,
            method: str | None = None,
            url: str | None = None,
            response: BaseHTTPResponse | None = None,
            error: Exception | None = None,
            _pool: Any = None,
            _stacktrace: TracebackType | None = None,
        ) -> Self:
            if response is not None:
                busy = response.status >= 500 or _is_busy(response.status, response.headers)
                if not busy or _wait(response.headers) > LONGEST_WAIT:
                    raise MaxRetryError(_pool, url or "")  # the answer is taken as it is
            return super().increment(method, url, response, error, _pool, _stacktrace)

        def get_retry_after(self, response: Any) -> float | None:
            return _wait(response.headers)

        def get_backoff_time(self) -> float:
            return PAUSES[min(len(self.history), len(PAUSES)) - 1] if self.history else 0.0

    return Patience(total=len(PAUSES), allowed_methods={"GET"}, raise_on_status=False)


def _is_busy(status: int, headers: Mapping[str, str]) -> bool:
    """Whether GitHub did nothing because too much was asked of it.

    https://docs.github.com/en/rest/using-the-rest-api/rate-limits-for-the-rest-api
    """
    limited = headers.get("Retry-After") or headers.get("x-ratelimit-remaining") == "0"
    return status == 429 or (status == 403 and bool(limited))


def _wait(headers: Mapping[str, str]) -> float:
    """How many seconds GitHub asks us to wait."""
    after = headers.get("Retry-After") or ""
    if after:
        return float(after) if after.isdecimal() else 0.0
    if headers.get("x-ratelimit-remaining") == "0":
        reset = headers.get("x-ratelimit-reset") or ""
        return max(0.0, float(reset) - time.time()) if reset.isdecimal() else 0.0
    return 0.0


def _innermost(error: BaseException) -> str:
    """Why there was no answer, in the words of what failed first."""
    reason: Any = error
    while (inner := getattr(reason, "reason", None) or next(iter(reason.args), None)) is not None:
        if not isinstance(inner, BaseException):
            break
        reason = inner
    return str(reason)


def _not_asked(asked: str, why: str) -> Undecided:
    return Undecided(
        f"GitHub could not be asked ({asked}: {why}), so nothing rests on its answer. Look at "
        "https://www.githubstatus.com and run the command again: it goes on where it stopped."
    )


def _refusal(answer: Response, asked: str) -> Refused:
    """What an answer that is no success means."""
    words = _words(answer)
    if answer.status_code in (404, 410):
        return Missing(
            f"GitHub knows no such thing, or the token may not see it ({asked}: {words})."
        )
    if answer.status_code in (401, 403):
        needs = answer.headers.get("X-Accepted-GitHub-Permissions")
        return Forbidden(
            f"GitHub did not allow it ({asked}: {words}). "
            + (f"It needs {needs}. " if needs else "")
            + "In a workflow, give the job that permission; elsewhere, set GH_TOKEN to a token "
            "of somebody who may, for instance `GH_TOKEN=$(gh auth token)`."
        )
    if answer.status_code in (301, 302, 307, 308):
        return Refused(
            "The repository has moved. Point origin at its new address with "
            "`git remote set-url origin URL` and run again."
        )
    return Refused(f"GitHub refused it ({asked}: {answer.status_code}, {words}).")


def _words(answer: Response) -> str:
    """What GitHub says of an error: its message and the details."""
    try:
        content = answer.json()
    except ValueError:
        content = {}
    content = content if isinstance(content, dict) else {}
    details = map(_detail, content.get("errors") or ())
    return "; ".join([str(content.get("message", answer.reason)), *details])


def _detail(error: Any) -> str:
    if isinstance(error, dict):
        return str(error.get("message") or " ".join(map(str, error.values())))
    return str(error)


def _json(answer: Response) -> Any:
    try:
        return answer.json()
    except ValueError:
        raise _not_asked(answer.url, "its answer is no JSON") from None


def _read(kind: type[T], answer: Response | Any, path: str) -> T:
    """An answer as what it is expected to be."""
    from pydantic import TypeAdapter, ValidationError
    from requests import Response

    value = _json(answer) if isinstance(answer, Response) else answer
    try:
        return TypeAdapter(kind).validate_python(value)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(map(str, first["loc"])) or "the whole"
        raise _not_asked(
            path, f"its answer is not as documented: {place}: {first['msg']}"
        ) from None


def _api(host: str) -> str:
    default = f"https://api.{host}"
    url = current().api_url or default
    parts = urlsplit(url)
    if parts.scheme != "https" and parts.hostname not in ("127.0.0.1", "localhost"):
        raise Refused(f"GITHUB_API_URL is {url}; a token is only sent over https.")
    return url.rstrip("/")


def _token() -> str | None:
    """Of the person, of the workflow, or of the program gh."""
    run = current()
    if token := run.own_token or run.token:
        return token
    if gh := shutil.which("gh"):
        done = subprocess.run([gh, "auth", "token"], capture_output=True, text=True)
        return done.stdout.strip() or None
    return None
