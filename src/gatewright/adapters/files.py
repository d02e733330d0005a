"""Reading YAML strictly, writing files whole or not at all, and hashing them."""

import hashlib
import os
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from gatewright.errors import Refused

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_LONGEST = 20_000_000  # bytes of any text that is read
_DEEPEST = 50  # collections within collections
_TRICKY = re.compile(r"&|[-?:] +[-?:] |^ {40}", re.MULTILINE)  # an anchor; depth without brackets


class _Strict(_Loader):  # type: ignore[misc, valid-type]
    """A safe loader that refuses a key given twice, which YAML would silently overwrite."""

    def construct_mapping(self, node: yaml.MappingNode, deep: bool = False) -> dict[Any, Any]:
        seen = set()
        for key_node, _ in node.value:
            key = key_node.value
            if key in seen:
                line = key_node.start_mark.line + 1
                raise yaml.YAMLError(f"line {line}: the key '{key}' is given twice")
            seen.add(key)
        return dict(super().construct_mapping(node, deep=deep))


def parse_yaml(text: str, name: str) -> dict[str, Any]:
    """The mapping that a YAML text holds; `name` is what an error calls it.

    Raises Refused for what is no plain data: a key given twice, a tag, an alias (a few lines of
    them unfold to gigabytes), a value that is no value.
    """
    try:
        _refuse_tricks(text)
        value = _Strict(text).get_single_data()
    except (yaml.YAMLError, ValueError, TypeError) as error:
        raise Refused(f"{name} is not valid YAML ({error}). Correct it and run again.") from None
    if not isinstance(value, dict):
        raise Refused(f"{name} must be a mapping of keys to values. Correct it and run again.")
    return value


def _refuse_tricks(text: str) -> None:
    """Aliases and depth, before anything is built, in a text that could have them."""
    if not _TRICKY.search(text) and text.count("[") + text.count("{") < _DEEPEST:
        return
    depth = 0
    for event in yaml.parse(text, Loader=_Loader):
        depth += isinstance(event, yaml.CollectionStartEvent)
        depth -= isinstance(event, yaml.CollectionEndEvent)
        line = event.start_mark.line + 1  # type: ignore[union-attr]
        if isinstance(event, yaml.AliasEvent):
            raise yaml.YAMLError(f"line {line}: an alias; write out what it stands for")
        if depth > _DEEPEST:
            raise yaml.YAMLError(f"line {line}: more than {_DEEPEST} collections in each other")


def line_of(text: str, keys: Sequence[str | int]) -> int | None:
    """The line, from 1, on which a key of a YAML text stands, or as much of its path as does."""
    node, line = yaml.compose(text, Loader=_Loader), None
    for key in keys:
        if isinstance(node, yaml.MappingNode):
            pair = next((p for p in node.value if p[0].value == str(key)), None)
        elif isinstance(node, yaml.SequenceNode) and isinstance(key, int) and key < len(node.value):
            pair = (node.value[key], node.value[key])
        else:
            pair = None
        if pair is None:
            break
        line, node = pair[0].start_mark.line + 1, pair[1]
    return line


def read_text(path: Path) -> str:
    try:
        if path.exists() and not (path.is_file() and path.stat().st_size <= _LONGEST):
            raise OSError("no file of text")
        return path.read_text(encoding="utf-8")
    except (OSError, UnicodeDecodeError) as error:
        raise Refused(
            f"{path} cannot be read ({type(error).__name__}), and nothing is decided without it. "
            "Run `uv run mlops run`, or restore it with Git."
        ) from None


def to_yaml(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)


def write_whole(path: Path, content: str | bytes) -> None:
    """Write beside the target and rename, so that a killed process leaves no half file."""
    path.parent.mkdir(parents=True, exist_ok=True)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    part.write_bytes(content.encode() if isinstance(content, str) else content)
    part.replace(path)


def digest(path: Path, algorithm: str = "sha256") -> str:
    """The hex digest of a file, read in blocks. DVC names files by `md5`."""
    try:
        with path.open("rb") as file:
            return hashlib.file_digest(file, algorithm).hexdigest()
    except FileNotFoundError:
        raise Refused(f"{path} is missing. Run `uv run mlops run` to make it.") from None


def text_digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()
