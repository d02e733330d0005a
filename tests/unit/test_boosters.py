"""LightGBM and XGBoost: equal bytes, judged like any other model, and opened only if it is one."""

from __future__ import annotations

import json
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import skops.io
from lightgbm import LGBMClassifier, LGBMRegressor
from parcels import FILES, make_project, make_rows
from sklearn.compose import ColumnTransformer
from sklearn.pipeline import Pipeline
from test_model import Mark, rewrite
from xgboost import XGBClassifier, XGBRegressor

from gatewright.adapters.files import digest
from gatewright.adapters.model_file import allowed_types, load_model, seal
from gatewright.errors import Refused

MADE: dict[str, tuple[Any, str]] = {
    "LightGBM": (LGBMClassifier(n_estimators=9, verbose=-1, random_state=0), "broken"),
    "LightGBM, a number": (LGBMRegressor(n_estimators=9, verbose=-1, random_state=0), "height"),
    "LightGBM, classes": (LGBMClassifier(n_estimators=9, verbose=-1, random_state=0), "shop"),
    "XGBoost": (XGBClassifier(n_estimators=9, random_state=0), "broken"),
    "XGBoost, a number": (XGBRegressor(n_estimators=9, random_state=0), "height"),
}
INPUTS = ["weight", "number"]


def made(name: str, seed: int = 0, n_jobs: int | None = 1) -> Any:
    """The pipeline of that name, fitted."""
    estimator, target = MADE[name]
    estimator.set_params(n_jobs=n_jobs)
    rows = make_rows(900, seed=seed)
    features = ColumnTransformer([("numbers", "passthrough", INPUTS)])
    return Pipeline([("features", features), ("model", estimator)]).fit(rows[INPUTS], rows[target])


def written(name: str, path: Path, seed: int = 0, n_jobs: int | None = 1) -> Path:
    skops.io.dump(made(name, seed, n_jobs), path)
    seal(path)
    return path


@pytest.mark.parametrize("name", MADE)
def test_two_fits_are_equal_bytes_and_answer_the_same(name: str, tmp_path: Path) -> None:
    first, second = (written(name, tmp_path / f"{n}.skops") for n in "ab")
    assert first.read_bytes() == second.read_bytes()
    assert digest(written(name, tmp_path / "c.skops", seed=1)) != digest(first)
    rows = make_rows(900)[INPUTS]
    opened: Any = load_model(first, allowed_types())
    ask = "predict_proba" if "number" not in name else "predict"
    np.testing.assert_array_equal(getattr(opened, ask)(rows), getattr(made(name), ask)(rows))


@pytest.mark.parametrize("name", ["LightGBM", "XGBoost"])
def test_no_part_of_a_file_is_pickled(name: str, tmp_path: Path) -> None:
    """LightGBM's trees are text in the schema, XGBoost's one member in UBJSON."""
    with zipfile.ZipFile(written(name, tmp_path / "a.skops")) as archive:
        members = {item: archive.read(item) for item in archive.namelist()}
    schema = members.pop("schema.json")
    arrays = [content for content in members.values() if content.startswith(b"\x93NUMPY")]
    others = [content for content in members.values() if content not in arrays]
    assert all(b"|O" not in content[:128] for content in arrays), "no objects"
    if name == "LightGBM":
        assert others == []
        assert b"tree\\\\nversion=v4" in schema
    else:
        assert [content[:2] for content in others] == [b"{L"], "an object of UBJSON"


def test_processes_with_other_thread_counts_give_the_same_bytes(tmp_path: Path) -> None:
    code = """
import sys
from pathlib import Path
from test_boosters import written
for name in ("LightGBM", "XGBoost"):
    written(name, Path(sys.argv[1]) / name, n_jobs=None)  # as many as the machine has
"""
    paths = [str(Path(__file__).parent), str(Path(__file__).parents[1] / "support")]
    found = []
    for threads in ("1", "2"):
        (tmp_path / threads).mkdir()
        environment = {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}
        environment |= {"OMP_NUM_THREADS": threads}
        words = [sys.executable, "-c", code, str(tmp_path / threads)]
        subprocess.run(words, env=environment, check=True)
        found.append([digest(tmp_path / threads / name) for name in ("LightGBM", "XGBoost")])
    assert found[0] == found[1]


# What is no model of theirs


def objects(schema: Any, name: str) -> list[dict[str, Any]]:
    """The nodes of a class in a schema."""
    found = [schema] if isinstance(schema, dict) and schema.get("__class__") == name else []
    inside = schema.values() if isinstance(schema, dict) else schema
    for each in inside if isinstance(schema, (dict, list)) else ():
        found += objects(each, name)
    return found


def with_state(path: Path, key: str, node: dict[str, Any]) -> None:
    """Give the booster of a file another attribute."""

    def change(schema: dict[str, Any]) -> None:
        (booster,) = objects(schema, "Booster")
        booster["content"]["content"][key] = {"__id__": 987_654_321, **node}

    rewrite(path, change)


def in_json(value: object) -> dict[str, Any]:
    content = json.dumps(value)
    return {
        **{"__class__": "str", "__module__": "builtins", "__loader__": "JsonNode"},
        **{"content": content, "is_json": True},
    }


SYSTEM = {"__class__": "system", "__module__": "posix", "__loader__": "FunctionNode", "content": {}}


def member(path: Path, content: bytes) -> None:
    """Put other bytes in the place of XGBoost's member."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    (name,) = (name for name, was in members.items() if was.startswith(b"{L"))
    with zipfile.ZipFile(path, "w") as archive:
        for each, was in members.items():
            archive.writestr(each, content if each == name else was)


HOSTILE: dict[str, tuple[str, Callable[[Path], None], str]] = {
    "a function in LightGBM's": (
        "LightGBM",
        lambda path: with_state(path, "train_set", SYSTEM),
        "nobody has reviewed: posix.system",
    ),
    "a function in XGBoost's": (
        "XGBoost",
        lambda path: with_state(path, "callbacks", SYSTEM),
        "nobody has reviewed: posix.system",
    ),
    "a number for LightGBM's trees": (
        "LightGBM",
        lambda path: with_state(path, "_handle", in_json(4711)),
        "cannot be opened",
    ),
    "other text for LightGBM's trees": (
        "LightGBM",
        lambda path: with_state(path, "_handle", in_json("import os")),
        "cannot be opened",
    ),
    "a number for XGBoost's trees": (
        "XGBoost",
        lambda path: with_state(path, "handle", in_json(4711)),
        "is not a whole skops file",  # its member is named no more
    ),
    "a pickle for XGBoost's trees": (
        "XGBoost",
        lambda path: member(path, pickle.dumps(Mark())),
        "cannot be opened",
    ),
    "half of XGBoost's trees": (
        "XGBoost",
        lambda path: member(path, b"{L\0\0\0\0\0\0\0\x06Config{L"),
        "cannot be opened",
    ),
    "nothing for XGBoost's trees": (
        "XGBoost",
        lambda path: member(path, b""),
        "cannot be opened",
    ),
    "another kind of theirs": (
        "XGBoost",
        lambda path: rewrite(
            path,
            lambda schema: json.loads(
                json.dumps(schema).replace('"XGBClassifier"', '"XGBRFClassifier"')
            ),
        ),
        "nobody has reviewed: xgboost.sklearn.XGBRFClassifier",
    ),
}


@pytest.mark.parametrize(("name", "change", "words"), HOSTILE.values(), ids=HOSTILE.keys())
def test_what_is_no_model_is_not_opened(
    name: str,
    change: Callable[[Path], None],
    words: str,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    path = written(name, tmp_path / "model.skops")
    load_model(path, allowed_types())
    change(path)
    with pytest.raises(Refused, match=words):
        load_model(path, allowed_types())
    assert not Path("mark").exists(), "it was executed"


def test_what_reads_it_may_be_missing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = written("LightGBM", tmp_path / "model.skops")
    for name in [name for name in sys.modules if name.partition(".")[0] == "lightgbm"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "lightgbm", None)
    with pytest.raises(Refused, match=r"uv add 'gatewright\[lightgbm\]'"):
        load_model(path, allowed_types())


# The whole way


@pytest.mark.parametrize("kind", ["lightgbm.LGBMClassifier", "xgboost.XGBClassifier"])
def test_a_model_of_theirs_is_trained_judged_and_registered(kind: str, tmp_path: Path) -> None:
    module, _, name = kind.partition(".")
    train = FILES["src/parcels.py"].replace(
        "from sklearn.tree", f"from {module} import {name}\nfrom sklearn.tree"
    )
    quiet = ", verbose=-1" if module == "lightgbm" else ""
    chosen = f"{name}(n_estimators=20, max_depth=2, n_jobs=1, random_state=0{quiet})"
    train = train.replace("make_pipeline(SimpleImputer(), LogisticRegression(C=strength))", chosen)
    assert chosen in train
    project = make_project(tmp_path, {"src/parcels.py": train})
    model = project.root / "model/model.skops"
    before = model.read_bytes()
    model.unlink()
    project.dvc("repro", "--quiet", "--force", "--no-run-cache", "train")
    assert model.read_bytes() == before, "trained again, it is the same bytes"
    assert project.mlops("gate").status == 0
    assert "1.0.0" in project.mlops("register").out
    project.mlops("promote", "1.0.0", "--to", "dev")
    assert project.live()["dev"] == "1.0.0"
