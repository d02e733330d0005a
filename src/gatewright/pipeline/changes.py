"""What a pull request changes, told from paths and texts alone."""

import json
import re
import tomllib
from dataclasses import dataclass
from typing import Any

from gatewright.adapters.git import Git, GitError
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Refused, Undecided
from gatewright.pipeline.dvc_lock import Lock, parse_lock

LIBRARY = "gatewright"
VENDOR = "vendor/"
_JUDGES = ("gates.yaml", "model-types.txt", VENDOR, ".github/")
# Of these a model is not made; it counts as made from everything else that Git holds.
_HARMLESS = tuple(
    re.compile(pattern)
    for pattern in (
        r"[^/]+\.(md|rst)",
        r"docs/.+\.(md|rst|png|svg|jpe?g|gif|webp)",
        r"data/README\.md",
        r"data/incoming/.+",  # `mlops ingest` brings it into data/raw first
        r"tests/.+\.py",
        r"notebooks/.+\.ipynb",
        r"(LICENSE|NOTICE|COPYING)(\.txt)?|CITATION\.cff|CODEOWNERS|docs/CODEOWNERS",
        r"(.+/)?\.gitignore|\.editorconfig|\.pre-commit-config\.yaml",
        r"\.?ruff\.toml|mypy\.ini|pytest\.ini|\.coveragerc",
        r"\.github/.+|\.vscode/.+|\.idea/.+|security/[^/]+\.(yaml|txt)",
        r"gates\.yaml",  # it judges, and makes nothing
    )
)
_ENVIRONMENT = ("pyproject.toml", "uv.lock")
# Keys of pyproject.toml: those that change no environment, and those that say what a command is.
_WORDS = re.compile(
    r"project\.(description|readme|license|license-files|authors|maintainers|keywords|classifiers"
    r"|urls|version)(\.|$)|tool\.(ruff|mypy|pytest|coverage|bandit)(\.|$)"
)
_COMMANDS = re.compile(
    r"project\.(scripts|gui-scripts|entry-points)\.|tool\.uv\.(package|sources\.gatewright)(\.|$)"
)


@dataclass(frozen=True)
class Changes:
    """What differs between a base branch and what wants to enter it.

    `pipeline` are the dependencies of the stages. `environment` says that the model is made and
    run in another Python environment; `commands` are the settings of pyproject.toml that say what
    a command like `mlops` is, a line each.
    """

    paths: tuple[str, ...]
    pipeline: frozenset[str]
    environment: bool = False
    commands: tuple[str, ...] = ()

    @property
    def model(self) -> bool:
        """Whether the model could be another one."""
        return any(self._makes(path) for path in self.paths)

    @property
    def storage(self) -> bool:
        return any(path.startswith(".dvc/") for path in self.paths)

    def judges(self) -> list[str]:
        """What changes of that which judges models, and is judged by the base branch's."""
        paths = [path for path in self.paths if path.startswith(_JUDGES)]
        return [*paths, *(f"pyproject.toml, {line}" for line in self.commands)]

    def _makes(self, path: str) -> bool:
        if path in self.pipeline or any(path.startswith(f"{dep}/") for dep in self.pipeline):
            return True
        if path in _ENVIRONMENT:
            return self.environment
        return not is_harmless(path)


def is_harmless(path: str) -> bool:
    """Whether no model is made from a file of that path."""
    return any(pattern.fullmatch(path) for pattern in _HARMLESS)


def find_changes(git: Git, base: str, head: str = "HEAD") -> Changes:
    """What `head` changes since it left `base`. Needs the history of both."""
    try:
        fork = git("merge-base", base, head)
        names = git("diff", "--name-only", "--no-renames", "-z", fork, head)
    except GitError as error:
        raise Undecided(
            f"What changes since {base} cannot be told ({error}), so nothing is judged. In a "
            "workflow, check out with `fetch-depth: 0`."
        ) from None
    pipeline: set[str] = set()
    for revision in (base, head):
        lock = lock_at(git, revision)
        pipeline |= set(lock.deps) if lock else set()
    texts = git.blobs([f"{at}:{name}" for at in (fork, head) for name in _ENVIRONMENT])
    return Changes(
        tuple(name for name in names.split("\0") if name),
        frozenset(pipeline),
        environment=environment_in(*texts[:2]) != environment_in(*texts[2:]),
        commands=tuple(_differences(commands_in(texts[0]), commands_in(texts[2]))),
    )


def library_in(lock: str | None) -> str:
    """The library that a uv.lock names: its version and the SHA-256 of its wheel."""
    try:
        packages = tomllib.loads(lock or "").get("package", [])
        named = next(package for package in packages if package["name"] == LIBRARY)
        hashes = [wheel["hash"] for wheel in named.get("wheels", [])]
        return f"{named['version']} ({', '.join(hashes) or 'no hash'})"
    except (tomllib.TOMLDecodeError, StopIteration, KeyError, TypeError, AttributeError):
        return "none"


def environment_in(pyproject: str | None, lock: str | None) -> tuple[object, object]:
    """What two texts say of the Python environment: all but what cannot change it.

    A text that is no TOML stands for itself.
    """
    content = _toml(pyproject)
    if isinstance(content, dict):
        content = {key: value for key, value in _flat(content).items() if not _WORDS.match(key)}
    return content, _toml(lock)


def commands_in(pyproject: str | None) -> dict[str, Any]:
    """The settings of a pyproject.toml that say which code a command is."""
    content = _toml(pyproject)
    flat = _flat(content) if isinstance(content, dict) else {}
    return {key: value for key, value in flat.items() if _COMMANDS.match(key)}


def _toml(text: str | None) -> Any:
    try:
        return tomllib.loads(text) if text is not None else None
    except (tomllib.TOMLDecodeError, RecursionError):
        return text


def lock_at(git: Git, revision: str) -> Lock | None:
    """dvc.lock of a commit, or None if it has none."""
    text = git.blobs([f"{revision}:dvc.lock"])[0]
    return parse_lock(text) if text is not None else None


def settings_changes(old: str | None, new: str | None, name: str) -> list[str]:
    """Which keys of a YAML text change, a line a key: `checks.rows.min: 1000 -> 10`."""
    try:
        before, after = (_flat(parse_yaml(text, name)) if text else {} for text in (old, new))
    except Refused as error:
        return [f"{name} cannot be read: {error}"]
    return _differences(before, after)


def _differences(before: dict[str, Any], after: dict[str, Any]) -> list[str]:
    return [
        f"{key}: {before.get(key, 'not set')} -> {after.get(key, 'not set')}"
        for key in sorted({*before, *after})
        if before.get(key) != after.get(key)
    ]


def _flat(value: Any, prefix: str = "") -> dict[str, Any]:
    if not isinstance(value, dict) or not value:
        return {prefix: value}
    flat: dict[str, Any] = {}
    for key, item in value.items():
        name = json.dumps(key) if isinstance(key, str) and "." in key else str(key)
        flat |= _flat(item, f"{prefix}.{name}" if prefix else name)
    return flat
