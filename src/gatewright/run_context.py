"""Where a command runs, on a laptop or in a workflow of GitHub: read here and nowhere else.

https://docs.github.com/en/actions/reference/workflows-and-actions/variables
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path


@dataclass(frozen=True)
class RunContext:
    """What the environment variables say of this run. What they do not say is None.

    `attempt` counts from 1. `output` and `summary` are files that a step appends to; `event` holds
    the event that started the workflow. Secrets are not shown when this is printed.
    """

    on_github: bool = False
    run_id: str | None = None
    attempt: int = 1
    actor: str | None = None
    repository: str | None = None
    server: str | None = None
    api_url: str | None = None
    event: Path | None = None
    output: Path | None = None
    summary: Path | None = None
    token: str | None = field(default=None, repr=False)  # of the workflow
    own_token: str | None = field(default=None, repr=False)  # of a person: GH_TOKEN
    registry_key: str | None = field(default=None, repr=False)
    signing_key: str | None = field(default=None, repr=False)
    training_key: str | None = field(default=None, repr=False)
    app_id: str | None = None  # of a GitHub App that writes the registry
    app_key: str | None = field(default=None, repr=False)
    debug: bool = False  # show the traceback of an error that nobody foresaw

    @classmethod
    def of(cls, variables: Mapping[str, str]) -> RunContext:
        """From environment variables; an empty one says nothing."""

        def text(name: str) -> str | None:
            return variables.get(name) or None

        def path(name: str) -> Path | None:
            return Path(value) if (value := text(name)) else None

        attempt = text("GITHUB_RUN_ATTEMPT") or "1"
        return cls(
            on_github=bool(text("GITHUB_ACTIONS")),
            run_id=text("GITHUB_RUN_ID"),
            attempt=int(attempt) if attempt.isdecimal() else 1,
            actor=text("GITHUB_ACTOR"),
            repository=text("GITHUB_REPOSITORY"),
            server=text("GITHUB_SERVER_URL"),
            api_url=text("GITHUB_API_URL"),
            event=path("GITHUB_EVENT_PATH"),
            output=path("GITHUB_OUTPUT"),
            summary=path("GITHUB_STEP_SUMMARY"),
            token=text("GITHUB_TOKEN"),
            own_token=text("GH_TOKEN"),
            registry_key=text("REGISTRY_KEY"),
            signing_key=text("SIGNING_KEY"),
            training_key=text("TRAINING_KEY"),
            app_id=text("APP_ID"),
            app_key=text("APP_KEY"),
            debug=bool(text("MLOPS_DEBUG")),
        )

    @property
    def run_page(self) -> str | None:
        """The page of this run on GitHub, None on a laptop."""
        if not (self.run_id and self.server and self.repository):
            return None
        return f"{self.server}/{self.repository}/actions/runs/{self.run_id}"

    @property
    def is_public(self) -> bool:
        """Whether anybody can download what this run offers; yes where its event does not say."""
        if not self.on_github:
            return False
        try:
            told = json.loads(self.event.read_text(encoding="utf-8")) if self.event else {}
            return told["repository"]["private"] is not True
        except (OSError, ValueError, LookupError, TypeError):
            return True


def current() -> RunContext:
    """The context of this process."""
    return RunContext.of(os.environ)


def with_variables(text: str) -> tuple[str, list[str]]:
    """A text with each `${NAME}` replaced by that environment variable, and the names not set."""
    names = re.findall(r"\$\{(\w+)\}", text)
    absent = [name for name in names if not os.environ.get(name)]
    return re.sub(r"\$\{(\w+)\}", lambda m: os.environ.get(m[1], ""), text), absent
