"""Files that are not as they should be: one sentence, and never a traceback.

Each node of a valid file is replaced by each of some values that somebody could write there.
"""

from __future__ import annotations

import copy
import subprocess
from collections.abc import Callable, Iterator
from contextlib import suppress
from datetime import date
from pathlib import Path
from typing import Any

import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st
from parcels import CONTRACT, DVC, FILES, GATES, Project

from gatewright.adapters.dvc import Storage, must
from gatewright.adapters.git_storage import StorageBranch
from gatewright.adapters.strict_yaml import refuse_odd_numbers
from gatewright.contract.schema import parse_contract
from gatewright.errors import Misuse, Refused
from gatewright.gate.policy import parse_policies
from gatewright.pipeline.dvc_lock import locked_stages, parse_lock
from gatewright.pipeline.lock_verification import unlisted_code
from gatewright.pipeline.pipeline_file import parse_pipeline, parse_tracked
from gatewright.pipeline.staleness import read_pipeline

LOCK = """\
schema: '2.0'
stages:
  split:
    cmd: mlops stage parcels
    deps:
    - {path: contract.yaml, hash: md5, md5: 0123456789abcdef0123456789abcdef, size: 9}
    - {path: data/raw, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, size: 9, nfiles: 2}
    params:
      params.yaml: {train.seed: 0}
    outs:
    - {path: data/split/train.parquet, hash: md5, md5: 0123456789abcdef0123456789abcdef, size: 9}
"""
TRACKED = """\
outs:
- {path: raw, hash: md5, md5: 0123456789abcdef0123456789abcdef.dir, size: 9, nfiles: 2}
"""
VALUES: tuple[Any, ...] = (
    *(None, True, False, 0, -1, 10**30, 0.5, 1e308, float("inf"), float("nan")),
    *("", "text", "1:30", "../..", "a\x1b[1m", "\x00", "é" * 300, date(2026, 1, 1)),
    *([], [None], ["text"], [[1]], {}, {"text": None}, {1: 2}, {"a": {"b": {"c": []}}}),
)


def mutated(value: Any) -> Iterator[Any]:
    """The value with each of its nodes replaced in turn, and each key taken away."""
    yield from VALUES
    if isinstance(value, dict):
        for key in value:
            yield {k: v for k, v in value.items() if k != key}
            yield {(f"{key}?" if k == key else k): v for k, v in value.items()}
            for other in mutated(value[key]):
                yield value | {key: other}
    elif isinstance(value, list):
        for at, item in enumerate(value):
            yield value[:at] + value[at + 1 :]
            yield [*value, item]
            for other in mutated(item):
                yield [*value[:at], other, *value[at + 1 :]]


def policies(text: str) -> object:
    return parse_policies(text, contract=parse_contract(CONTRACT))


READERS: dict[str, tuple[str, Callable[[str], object]]] = {
    "dvc.lock": (LOCK, parse_lock),
    "dvc.lock, whole": (LOCK, locked_stages),
    "dvc.yaml": (DVC, parse_pipeline),
    "raw.dvc": (TRACKED, lambda text: parse_tracked(text, "raw.dvc")),
    "contract.yaml": (CONTRACT, parse_contract),
    "gates.yaml": (GATES, policies),
}


@pytest.mark.parametrize(("valid", "read"), READERS.values(), ids=READERS.keys())
def test_whatever_is_written_there_is_read_or_refused(
    valid: str, read: Callable[[str], object]
) -> None:
    read(valid)
    refused = 0
    for value in mutated(yaml.safe_load(valid)):
        text = yaml.dump(copy.deepcopy(value), allow_unicode=True)
        try:
            read(text)
        except (Refused, Misuse):
            refused += 1
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{text}")
    assert refused > 200


def test_whatever_dvc_yaml_says_is_held_against_the_files_or_refused(trained: Project) -> None:
    """Each third of the same, in a project: what it names is looked for there."""
    lock = parse_lock((trained.root / "dvc.lock").read_text())
    said = dict.fromkeys(("refused", "stale", "doubtful", "as it was"), 0)
    for value in list(mutated(yaml.safe_load(DVC)))[::3]:
        text = yaml.dump(copy.deepcopy(value), allow_unicode=True)
        (trained.root / "dvc.yaml").write_text(text)
        try:
            pipeline = read_pipeline(trained.root)
            told = pipeline.doubts or unlisted_code(trained.root, pipeline, lock)
        except Refused:
            said["refused"] += 1
        except Exception as error:
            pytest.fail(f"{type(error).__name__}: {error}\n{text}")
        else:
            said["stale" if pipeline.stale else "doubtful" if told else "as it was"] += 1
    assert said["refused"] > 80
    assert min(said.values()) > 0


WRONG = {
    "no stages": ("stages:\n  split:", "stages: {}\nother:\n  split:"),
    "a stage of nothing": ("    cmd: mlops", "  train:\n  test:\n    cmd: mlops"),
    "a path that is none": ("path: contract.yaml", "path: [contract.yaml]"),
    "no digest": (", md5: 0123456789abcdef0123456789abcdef, size: 9}", "}"),
    "a digest that leads elsewhere": ("md5: 0123456789abcdef", "md5: ../../../../../etc/p"),
}


@pytest.mark.parametrize(("old", "new"), WRONG.values(), ids=WRONG.keys())
def test_a_lock_that_dvc_did_not_write_is_refused_with_what_mends_it(old: str, new: str) -> None:
    assert old in LOCK
    with pytest.raises(Refused, match=r"dvc\.lock.*`uv run mlops run`"):
        parse_lock(LOCK.replace(old, new, 1))


PARAMS = """\
train:
  rate: 0.1
  steps: [{size: 3, to: "1:30"}]
"""
ODD = {
    "minutes for a number": ("0.1", "1:30", "line 2: 1:30 is no plain number"),
    "a number without end": ("0.1", ".inf", r"line 2: \.inf is no plain"),
    "no number": ("size: 3", "size: .nan", r"line 3: \.nan is no plain"),
    "a key twice": ("rate: 0.1", "rate: 1\n  rate: 2", "the key 'rate' is given twice"),
    "nothing": (PARAMS, "null", "must be a mapping"),
    "text": (PARAMS, "text", "must be a mapping"),
    "no YAML": (PARAMS, "a: [", "not valid YAML"),
}


@pytest.mark.parametrize(("old", "new", "words"), ODD.values(), ids=ODD.keys())
def test_parameters_that_others_would_read_otherwise_are_refused(
    old: str, new: str, words: str
) -> None:
    refuse_odd_numbers(PARAMS, "params.yaml")
    with pytest.raises(Refused, match=words):
        refuse_odd_numbers(PARAMS.replace(old, new), "params.yaml")


@settings(max_examples=1500, deadline=None, database=None, derandomize=True)
@given(
    at=st.integers(0, len(PARAMS)),
    put=st.text("[]{}:-#&*!|>'\"%@`, \n\t\0é0.1eintrue", max_size=4),
    gone=st.integers(0, 4),
)
def test_any_text_of_parameters_is_read_or_refused(at: int, put: str, gone: int) -> None:
    with suppress(Refused):
        refuse_odd_numbers(PARAMS[:at] + put + PARAMS[at + gone :], "params.yaml")


CONFIG = FILES[".dvc/config"]
URL = "../.dvc-storage/dev"
CONFIGS: dict[str, tuple[bytes | None, str]] = {
    "none": (None, "No DVC remote is named 'dev'"),
    "an empty one": (b"", "No DVC remote is named 'dev'"),
    "no configuration": (b"[core\n", r"\.dvc/config, which says where .* cannot be read"),
    "bytes that are no text": (b"\xff\x00", r"\.dvc/config, which says where"),
    "an unknown setting": (CONFIG.encode() + b"    colour = red\n", "colour"),
    "a storage of no kind": (CONFIG.replace(URL, "foo://x").encode(), "Unsupported URL type"),
    "an address that is none": (CONFIG.replace(URL, "http://[::1").encode(), "not a valid value"),
    "a value that is named nowhere": (CONFIG.replace(URL, "%(x)s").encode(), "interpolation"),
    "a storage whose package is absent": (
        CONFIG.replace(URL, "hdfs://bucket/x").encode(),
        r"needs a package that is not installed .*`uv add dvc-hdfs`",
    ),
}


@pytest.fixture(scope="module")
def dvc_folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    root = tmp_path_factory.mktemp("dvc")
    subprocess.run(["git", "init", "--quiet", str(root)], check=True)
    (root / ".dvc").mkdir()
    (root / "dvc.yaml").write_text("stages: {}\n")
    return root


@pytest.mark.parametrize(("content", "words"), CONFIGS.values(), ids=CONFIGS.keys())
def test_a_configuration_of_dvc_that_is_none_is_a_sentence(
    content: bytes | None, words: str, dvc_folder: Path
) -> None:
    config = dvc_folder / ".dvc/config"
    config.unlink(missing_ok=True)
    if content is not None:
        config.write_bytes(content)
    with pytest.raises(Refused, match=words):
        Storage(dvc_folder).remote("dev")
    _read_or_refuse(dvc_folder)


def test_a_configuration_of_dvc_that_is_a_folder_is_a_sentence(dvc_folder: Path) -> None:
    config = dvc_folder / ".dvc/config"
    config.unlink(missing_ok=True)
    config.mkdir()
    try:
        with pytest.raises(Refused, match=r"\.dvc/config"):
            Storage(dvc_folder).remote("dev")
        _read_or_refuse(dvc_folder)
    finally:
        config.rmdir()


@settings(max_examples=150, deadline=None, database=None, derandomize=True)
@given(
    at=st.floats(0, 1), put=st.sampled_from(["[", "]", "'", "=", "\n", "%(a)s", "\0", "ü", "url"])
)
def test_any_configuration_of_dvc_is_read_or_refused(dvc_folder: Path, at: float, put: str) -> None:
    place = int(at * len(CONFIG))
    text = CONFIG[:place] + put + CONFIG[place + len(put) :]
    (dvc_folder / ".dvc/config").write_text(text, encoding="utf-8")
    _read_or_refuse(dvc_folder, commands=False)


def _read_or_refuse(root: Path, commands: bool = True) -> None:
    asked: list[Callable[[], object]] = [
        lambda: Storage(root).remote("dev").holds("0" * 32),
        lambda: StorageBranch(root).embedded,
        *([lambda: must(root, "status", "--quiet")] if commands else []),
    ]
    for ask in asked:
        with suppress(Refused):
            ask()
