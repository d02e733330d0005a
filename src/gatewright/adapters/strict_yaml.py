"""YAML as plain data: what could hide something is refused."""

import re
from collections.abc import Sequence
from typing import Any, ClassVar

import yaml

from gatewright.errors import Refused

_Loader = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
_SEXAGESIMAL = re.compile(r"[-+]?[0-9][0-9_]*(:[0-5]?[0-9])+(\.[0-9_]*)?")
_ENDLESS = re.compile(r"[-+]?\.inf|\.nan|[-+]?[0-9.]+e\+?[0-9]{3,}", re.IGNORECASE)
_DEEPEST = 50  # collections within collections
_TRICKY = re.compile(r"&|[-?:] +[-?:] |^ {40}", re.MULTILINE)  # an anchor; depth without brackets


class _WithoutColon:
    """A pattern that does not match digits with colons."""

    def __init__(self, pattern: re.Pattern[str]) -> None:
        self.pattern = pattern

    def match(self, text: str) -> re.Match[str] | None:
        return None if _SEXAGESIMAL.fullmatch(text) else self.pattern.match(text)


class _Strict(_Loader):  # type: ignore[misc, valid-type]
    """A safe loader that refuses a key given twice, which YAML would silently overwrite.

    Digits with colons stay text: in YAML 1.1 `1:30` is the number 90.
    """

    yaml_implicit_resolvers: ClassVar[dict[str, Any]] = {
        first: [(tag, _WithoutColon(pattern)) for tag, pattern in resolvers]
        for first, resolvers in _Loader.yaml_implicit_resolvers.items()
    }

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


def as_python_reads(text: str, name: str) -> dict[str, Any]:
    """The mapping as PyYAML and so most code reads it, by YAML 1.1: `010` is 8, `yes` is true.

    Raises Refused as `parse_yaml`.
    """
    parse_yaml(text, name)
    loader = _Loader(text)
    try:
        return dict(loader.get_single_data())
    finally:
        loader.dispose()


def refuse_odd_numbers(text: str, name: str) -> None:
    """Refuse a mapping that other readers of YAML take for other numbers than are written there.

    That is 1:30, which YAML 1.1 takes for 90, and numbers without end. Raises Refused, with the
    line; also for what `parse_yaml` refuses.
    """
    parse_yaml(text, name)
    for event in yaml.parse(text, Loader=_Loader):
        if not isinstance(event, yaml.ScalarEvent) or event.style in ("'", '"', "|", ">"):
            continue
        if _SEXAGESIMAL.fullmatch(event.value) or _ENDLESS.fullmatch(event.value):
            line = event.start_mark.line + 1  # type: ignore[union-attr]
            raise Refused(
                f"{name}, line {line}: {event.value} is no plain number, and not everybody reads "
                'it alike. Write a number, or text in quotes, like "1:30".'
            )


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


def to_yaml(value: dict[str, Any]) -> str:
    return yaml.safe_dump(value, sort_keys=False, allow_unicode=True, width=100)
