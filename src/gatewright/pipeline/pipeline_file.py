"""dvc.yaml and .dvc files as plain data.

Read is what a stage runs, reads and writes, written out. What DVC would compute first (`${}`,
`foreach`, `matrix`, `vars`) or fetch (imports) is refused with what to write instead.
"""

from __future__ import annotations

import os
import re
from collections.abc import Iterable
from dataclasses import dataclass
from graphlib import CycleError, TopologicalSorter
from pathlib import PurePosixPath
from typing import Any

from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.errors import Refused

NAME = "dvc.yaml"
PARAMS = "params.yaml"
_SHOWN = {"metrics", "plots", "params", "artifacts"}  # how DVC shows things; nothing is made by it
_KEYS = {
    *("cmd", "deps", "params", "outs", "metrics", "plots"),
    *("desc", "meta", "frozen", "always_changed"),
}
_COMPUTED = {
    "foreach": "write a stage for each",
    "do": "write a stage for each",
    "matrix": "write a stage for each",
    "vars": "write the values out",
    "wdir": "write commands and paths as seen from the project's root",
}
_TRACKED = {
    *("path", "md5", "size", "nfiles", "hash", "isexec", "cache", "persist", "push", "remote"),
    *("desc", "type", "labels", "meta"),
}
_MD5 = re.compile(r"[0-9a-f]{32}(\.dir)?")


@dataclass(frozen=True)
class DeclaredStage:
    """One stage of dvc.yaml.

    `deps` and `outs` are paths as they are written there, with the same path seen from the root.
    `params` are the keys of each file that DVC compares; no keys are all of them. Outputs that
    are not `cached` lie in Git.
    """

    name: str
    cmd: str | list[str]
    deps: dict[str, str]
    outs: dict[str, str]
    cached: frozenset[str]
    params: dict[str, tuple[str, ...]]
    frozen: bool
    always: bool


def parse_pipeline(text: str) -> tuple[DeclaredStage, ...]:
    """The stages of a dvc.yaml. Raises Refused for what is not plain data of one pipeline."""
    content = parse_yaml(text, NAME)
    for key in set(content) - {"stages"} - _SHOWN:
        mend = _COMPUTED.get(key, "remove it")
        raise Refused(f"{NAME}: `{key}` is not read; {mend}.")
    stages = content.get("stages")
    if not isinstance(stages, dict) or not stages:
        raise Refused(f"{NAME} has no stages. Bring them back.")
    declared = tuple(_stage(str(name), about) for name, about in stages.items())
    _refuse_tangle(declared)
    return declared


def parse_tracked(text: str, name: str) -> tuple[str, str]:
    """What a .dvc file tracks: the path, seen from the root, and its md5."""
    content = parse_yaml(text, name)
    if "deps" in content:
        raise Refused(
            f"{name} brings its data from elsewhere (`deps`), where it can become another. "
            "Download it, and track the file itself with `uv run dvc add`."
        )
    if unknown := set(content) - {"outs", "meta", "desc", "frozen", "md5"}:
        raise Refused(f"{name}: `{min(map(str, unknown))}` is not read; track with `dvc add`.")
    outs = content.get("outs")
    out = outs[0] if isinstance(outs, list) and len(outs) == 1 else None
    if not isinstance(out, dict) or set(out) - _TRACKED or out.get("hash") != "md5":
        raise Refused(
            f"{name} is not as DVC 3 writes it: one output with its md5. Track the data again "
            "with `uv run dvc add`; for a file of DVC 2 run `uv run dvc cache migrate --dvc-files`."
        )
    md5, counts = out.get("md5"), [out.get(key, 0) for key in ("size", "nfiles")]
    if not isinstance(md5, str) or not _MD5.fullmatch(md5) or {*map(type, counts)} != {int}:
        raise Refused(f"{name} names no md5. Track the data again with `uv run dvc add`.")
    return _path(out.get("path"), name, str(PurePosixPath(name).parent)), md5


def _stage(name: str, about: Any) -> DeclaredStage:
    where = f"{NAME}: the stage {name}"
    if not re.fullmatch(r"[\w-]+", name):
        raise Refused(f"{NAME}: {name!r} is no name of a stage. Use letters, digits, _ and -.")
    if not isinstance(about, dict):
        raise Refused(f"{where} is no mapping. Give it at least a `cmd`.")
    if unknown := sorted(map(str, set(about) - _KEYS)):
        mend = _COMPUTED.get(unknown[0], "remove it")
        raise Refused(f"{where}: `{unknown[0]}` is not read; {mend}.")
    if _templated({key: value for key, value in about.items() if key not in ("desc", "meta")}):
        raise Refused(f"{where} has a `${{}}` in it; write the value out.")
    cmd = about.get("cmd")
    if not cmd or not (isinstance(cmd, str) or _texts(cmd)):
        raise Refused(f"{where} needs a `cmd`: a text, or a list of texts.")
    deps = about.get("deps", [])
    if not _texts(deps):
        raise Refused(f"{where}: `deps` is a list of paths. Correct it.")
    flags = {key: about.get(key, False) for key in ("frozen", "always_changed")}
    if not all(isinstance(flag, bool) for flag in flags.values()):
        raise Refused(f"{where}: `frozen` and `always_changed` are true or false. Correct it.")
    outs = {
        path: flags
        for kind in ("outs", "metrics", "plots")
        for path, flags in _outs(about.get(kind, []), f"{where}: `{kind}`")
    }
    return DeclaredStage(
        name=name,
        cmd=cmd,
        deps={dep: _path(dep, where) for dep in deps},
        outs={out: _path(out, where) for out in outs},
        cached=frozenset(_path(out, where) for out, flags in outs.items() if flags["cache"]),
        params=_params(about.get("params", []), where),
        frozen=flags["frozen"],
        always=flags["always_changed"],
    )


def _outs(items: Any, where: str) -> Iterable[tuple[str, dict[str, bool]]]:
    wrong = Refused(f"{where} is a list of paths, or of one path with its flags. Correct it.")
    if not isinstance(items, list):
        raise wrong
    for item in items:
        if isinstance(item, str):
            yield item, {"cache": True}
            continue
        if not isinstance(item, dict):
            raise wrong
        for path, flags in item.items():
            # A plot may be drawn in several ways.
            many = flags if isinstance(flags, list) else [flags]
            if not isinstance(path, str) or not all(isinstance(flag, dict) for flag in many):
                raise wrong
            cache = [flag.get("cache", True) for flag in many] or [True]
            if not all(isinstance(flag, bool) for flag in cache):
                raise wrong
            yield path, {"cache": all(cache)}


def _params(items: Any, where: str) -> dict[str, tuple[str, ...]]:
    wrong = Refused(
        f"{where}: `params` is a list of keys of {PARAMS}, or of a file with its keys. Correct it."
    )
    if not isinstance(items, list):
        raise wrong
    found: dict[str, list[str]] = {}
    whole: set[str] = set()
    for item in items:
        if isinstance(item, str):
            found.setdefault(PARAMS, []).append(item)
            continue
        if not isinstance(item, dict):
            raise wrong
        for file, keys in item.items():
            if not isinstance(file, str) or not (keys is None or _texts(keys)):
                raise wrong
            found.setdefault(file, []).extend(keys or [])
            if not keys:
                whole.add(file)
    for file, keys in found.items():
        if not file.endswith((".yaml", ".yml", ".json", ".toml")):
            raise Refused(
                f"{where}: parameters are read from YAML, JSON or TOML. Move those of {file} there."
            )
        if any(set("*?[!") & set(key) for key in keys):
            raise Refused(f"{where}: name each parameter by itself, without a pattern.")
    return {_path(f, where): () if f in whole else tuple(keys) for f, keys in found.items()}


def _path(path: Any, where: str, folder: str = "") -> str:
    """A path seen from the root. Raises Refused if it leads out of the project."""
    if not isinstance(path, str) or not path or "\0" in path:
        raise Refused(f"{where}: a path is a text. Correct it.")
    seen = os.path.normpath(os.path.join(folder, path))
    if "://" in path or os.path.isabs(path) or seen == ".." or seen.startswith("../"):
        raise Refused(f"{where}: {path} lies outside of the project. Bring it in with `dvc add`.")
    return seen


def _texts(value: Any) -> bool:
    return isinstance(value, list) and all(isinstance(item, str) for item in value)


def _templated(value: Any) -> bool:
    if isinstance(value, dict):
        return any(_templated(item) for pair in value.items() for item in pair)
    if isinstance(value, list):
        return any(map(_templated, value))
    return isinstance(value, str) and "${" in value


def _refuse_tangle(stages: tuple[DeclaredStage, ...]) -> None:
    """Two stages that write one file, or that wait for each other."""
    maker: dict[str, str] = {}
    for stage in stages:
        for out in stage.outs.values():
            if out in maker:
                raise _twice(out, maker[out], stage.name)
            maker[out] = stage.name
    for out, name in maker.items():
        for place in map(str, PurePosixPath(out).parents):
            if place in maker:
                raise _twice(out, maker[place], name)
    graph = {s.name: [maker[d] for d in s.deps.values() if d in maker] for s in stages}
    try:
        TopologicalSorter(graph).prepare()
    except CycleError as error:
        round_ = " and ".join(dict.fromkeys(error.args[1]))
        raise Refused(f"{NAME}: {round_} wait for each other. Remove one of the deps.") from None


def _twice(out: str, one: str, other: str) -> Refused:
    return Refused(f"{NAME}: {out} is written by {one} and again by {other}. Let one do it.")
