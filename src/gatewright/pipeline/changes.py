"""What a pull request changes, told from paths and texts alone."""

import tomllib
from dataclasses import dataclass
from typing import Any

from gatewright.adapters.git import Git, GitError
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Refused, Undecided
from gatewright.pipeline.dvc_lock import Lock, parse_lock

LIBRARY = "gatewright"
VENDOR = "vendor/"
# Together with the pipeline's own dependencies: what a model is made from.
_MODEL = (
    *("contract.yaml", "dvc.yaml", "dvc.lock", "params.yaml", "model-types.txt", "uv.lock"),
    *("pyproject.toml", ".dvc/", ".dvcignore", "data/", "src/"),
)
_JUDGES = ("gates.yaml", "model-types.txt", VENDOR, ".github/")


@dataclass(frozen=True)
class Changes:
    """The paths that differ between a base branch and what wants to enter it."""

    paths: tuple[str, ...]
    pipeline: frozenset[str]

    @property
    def model(self) -> bool:
        """Whether the model could be another one."""
        return any(self._makes(path) for path in self.paths)

    @property
    def environment(self) -> bool:
        """Whether the model is made and run in another environment."""
        return bool({"uv.lock", "pyproject.toml"} & set(self.paths))

    @property
    def storage(self) -> bool:
        return any(path.startswith(".dvc/") for path in self.paths)

    def judges(self) -> list[str]:
        """The changed paths that judge models and are judged by the base branch's."""
        return [path for path in self.paths if path.startswith(_JUDGES)]

    def _makes(self, path: str) -> bool:
        if path in self.pipeline or any(path.startswith(f"{dep}/") for dep in self.pipeline):
            return True
        return path.startswith(_MODEL) and not path.startswith("data/incoming/")


def find_changes(git: Git, base: str, head: str = "HEAD") -> Changes:
    """What `head` changes since it left `base`. Needs the history of both."""
    try:
        names = git("diff", "--name-only", "--no-renames", "-z", f"{base}...{head}")
    except GitError as error:
        raise Undecided(
            f"What changes since {base} cannot be told ({error}), so nothing is judged. In a "
            "workflow, check out with `fetch-depth: 0`."
        ) from None
    pipeline: set[str] = set()
    for revision in (base, head):
        lock = lock_at(git, revision)
        pipeline |= set(lock.deps) if lock else set()
    return Changes(tuple(name for name in names.split("\0") if name), frozenset(pipeline))


def library_in(lock: str | None) -> str:
    """The library that a uv.lock names: its version and the SHA-256 of its wheel."""
    try:
        packages = tomllib.loads(lock or "").get("package", [])
        named = next(package for package in packages if package["name"] == LIBRARY)
        hashes = [wheel["hash"] for wheel in named.get("wheels", [])]
        return f"{named['version']} ({', '.join(hashes) or 'no hash'})"
    except (tomllib.TOMLDecodeError, StopIteration, KeyError, TypeError, AttributeError):
        return "none"


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
        flat |= _flat(item, f"{prefix}.{key}" if prefix else str(key))
    return flat
