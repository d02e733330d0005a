"""What the registry holds: a record of each version, of what is live, and of what was retired.

Every record carries the number of its format. One without it, written before formats were
numbered, is of format 1 and keeps None, because its signature covers what it says.
"""

from __future__ import annotations

import re
from dataclasses import MISSING, asdict, dataclass, fields
from datetime import datetime
from functools import cache
from typing import Any, Literal, get_type_hints

from pydantic import TypeAdapter, ValidationError

from gatewright.adapters.dvc import StoredFile
from gatewright.adapters.strict_yaml import parse_yaml, to_yaml
from gatewright.errors import Misuse, Refused
from gatewright.paths import MODEL

FORMAT = 1  # of the records that this version of the library writes, and the newest that it reads
VERSION = re.compile(r"(0|[1-9]\d*)\.(0|[1-9]\d*)\.(0|[1-9]\d*)")


class NewerFormat(Refused):
    """A record of a format that this version of the library does not know."""


@dataclass(frozen=True)
class VersionRecord:
    """What a version is. Digests are sha256 but for `data`, which holds DVC's md5.

    `golden` holds requests with the answers that the model gave when it was registered;
    `reproduced` is what proved that the files follow from data and code; `forms` says of each form
    that the contract asks for how far it is from the model at most, or why it is refused.
    """

    version: str
    created: str
    by: str
    run: str | None
    commit: str
    because: list[str]
    contract: str
    pipeline: str
    environment_lock: str | None
    data: dict[str, str]
    files: list[dict[str, Any]]
    metrics: dict[str, Any]
    verdict: dict[str, Any]
    golden: list[dict[str, Any]]
    slices: dict[str, Any] | None = None
    reproduced: str | None = None
    forms: dict[str, Any] | None = None
    signature: dict[str, str] | None = None
    format: int | None = FORMAT

    @property
    def statement(self) -> dict[str, Any]:
        """What is signed: all that the record says but the signature, as it is read back."""
        values = parse_yaml(record_text(self), "record")
        return {n: v for n, v in values.items() if n != "signature" and v is not None}

    @property
    def stored(self) -> tuple[StoredFile, ...]:
        return tuple(StoredFile(**item) for item in self.files)

    @property
    def model(self) -> str:
        """The digest that the environments agree on."""
        return str(next(file.sha256 for file in self.stored if file.path == MODEL))


@dataclass(frozen=True)
class EnvironmentRecord:
    """What is live in an environment since when, and on what evidence."""

    environment: str
    version: str
    action: Literal["promote", "roll back"]
    since: str
    by: str
    run: str | None
    approved_by: str | None
    reason: str | None
    previous: str | None
    model: str
    evidence: dict[str, Any]
    format: int | None = FORMAT


@dataclass(frozen=True)
class RetirementRecord:
    """Why a version may not be promoted any more."""

    version: str
    since: str
    by: str
    run: str | None
    reason: str
    format: int | None = FORMAT


Record = VersionRecord | EnvironmentRecord | RetirementRecord
_KINDS: dict[str, type[Record]] = {
    "versions": VersionRecord,
    "environments": EnvironmentRecord,
    "retired": RetirementRecord,
}


def order(version: str) -> tuple[int, ...]:
    if not VERSION.fullmatch(version):
        raise Misuse(f"'{version}' is no version; a version looks like 1.4.0. See `mlops status`.")
    return tuple(map(int, version.split(".")))


def path_of(record: Record) -> str:
    if isinstance(record, EnvironmentRecord):
        return f"environments/{record.environment}.yaml"
    return f"{'versions' if isinstance(record, VersionRecord) else 'retired'}/{record.version}.yaml"


def record_text(record: Record) -> str:
    """The record as its file in the registry holds it, with the format first."""
    values = asdict(record)
    version = values.pop("format")
    return to_yaml(({} if version is None else {"format": version}) | values)


def parse_record(path: str, text: str | None) -> Record:
    """The record in a file of the registry.

    Raises Refused if it is none, or of something else, and NewerFormat for one that only a newer
    version of the library can read.
    """
    folder = path.partition("/")[0]
    kind = _KINDS.get(folder)
    if kind is None or text is None:
        raise Refused(f"The registry holds {path}, which no command writes; look at its log.")
    value = parse_yaml(text, f"registry:{path}")
    _refuse_other_formats(value.setdefault("format", None), path)
    known = {field.name for field in fields(kind)}
    needed = {field.name for field in fields(kind) if field.default is MISSING}
    if not needed <= set(value) <= known:
        raise Refused(f"registry:{path} does not hold the fields of a record; it was edited.")
    types = _types(folder)
    if wrong := [name for name in value if not _fits(types[name], value[name])]:
        names = ", ".join(wrong)
        raise Refused(f"registry:{path} says of {names} what no command writes; it was edited.")
    record = kind(**value)
    if not _can_be_followed(record):
        raise Refused(f"registry:{path} names no time, or no files of a version; it was edited.")
    if path_of(record) != path:
        raise Refused(f"registry:{path} is the record of something else; it was edited.")
    return record


def _can_be_followed(record: Record) -> bool:
    """Whether its time is one, and the files of a version can be fetched."""
    try:
        if isinstance(record, VersionRecord):
            datetime.fromisoformat(record.created)
            return bool(record.model) and all(_is_file(file) for file in record.stored)
        datetime.fromisoformat(record.since)
    except (ValueError, TypeError, StopIteration):
        return False
    return True


def _is_file(file: StoredFile) -> bool:
    texts = (file.path, file.md5, file.sha256)
    return all(isinstance(text, str) for text in texts) and isinstance(file.size, int)


@cache
def _types(folder: str) -> dict[str, TypeAdapter[Any]]:
    """What the fields of the records in a folder of the registry hold, by name."""
    return {name: TypeAdapter(hint) for name, hint in get_type_hints(_KINDS[folder]).items()}


def _fits(adapter: TypeAdapter[Any], value: Any) -> bool:
    """Whether a value read from YAML is of the type of a field, its items too."""
    try:
        adapter.validate_python(value, strict=True)
    except ValidationError:
        return False
    return True


def _refuse_other_formats(number: Any, path: str) -> None:
    if number is None or (type(number) is int and 1 <= number <= FORMAT):
        return
    if type(number) is not int or number < 1:
        raise Refused(f"registry:{path} has the format {number!r}, which is none; it was edited.")
    from importlib.metadata import version

    ours = version("gatewright")
    raise NewerFormat(
        f"registry:{path} is a record of format {number}, and gatewright {ours}, which is "
        f"installed here, reads formats up to {FORMAT}. Nothing is decided without it. Update "
        "gatewright to the version that the project's default branch pins: `git pull`, then "
        "`uv sync`."
    )
