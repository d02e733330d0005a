"""Model files: what is not opened, and that equal models are equal bytes."""

from __future__ import annotations

import bz2
import gzip
import json
import lzma
import os
import pickle
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import joblib
import numpy as np
import pytest
import sklearn
import skops.io
from parcels import make_model, make_rows
from sklearn.ensemble import HistGradientBoostingClassifier, RandomForestClassifier
from sklearn.linear_model import LogisticRegression
from sklearn.neural_network import MLPClassifier
from sklearn.pipeline import make_pipeline
from sklearn.preprocessing import FunctionTransformer, StandardScaler
from sklearn.tree import DecisionTreeClassifier

from gatewright.adapters.files import digest
from gatewright.adapters.model_file import allowed_types, load_model, seal
from gatewright.errors import Refused


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """Where a model file goes, in a project of its own."""
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model.skops"


class Mark:
    """Leaves a file behind when it is unpickled."""

    def __reduce__(self) -> Any:
        return open, ("mark", "w")


def leave_mark(rows: Any) -> Any:
    Path("mark").touch()
    return rows


def pickled(path: Path) -> None:
    path.write_bytes(pickle.dumps(Mark()))


def pickled_in_text(path: Path) -> None:
    path.write_bytes(pickle.dumps(Mark(), protocol=0))


def joblibbed(compress: Any) -> Callable[[Path], None]:
    return lambda path: joblib.dump(Mark(), path, compress=compress) and None


def with_function(path: Path) -> None:
    skops.io.dump(make_pipeline(FunctionTransformer(leave_mark), LogisticRegression()), path)


def with_system(path: Path) -> None:
    skops.io.dump(make_pipeline(FunctionTransformer(os.system), LogisticRegression()), path)


def with_method(path: Path) -> None:
    """A method of an object: its names hide in the content of the node."""
    fitted = StandardScaler().fit(np.eye(2))
    skops.io.dump(make_pipeline(FunctionTransformer(fitted.transform)), path)


def with_partial(path: Path) -> None:
    from functools import partial

    skops.io.dump(make_pipeline(FunctionTransformer(partial(os.system, "touch mark"))), path)


UNTRUSTED: dict[str, tuple[Callable[[Path], None], str]] = {
    "pickle": (pickled, "is a Python pickle"),
    "pickle, protocol 0": (pickled_in_text, "is not a whole skops file"),
    "joblib": (joblibbed(0), "is a Python pickle"),
    "joblib, zlib": (joblibbed(("zlib", 3)), "compressed joblib pickle (zlib)"),
    "joblib, zlib fast": (joblibbed(("zlib", 1)), "compressed joblib pickle (zlib)"),
    "joblib, gzip": (joblibbed(("gzip", 3)), "compressed joblib pickle (gzip)"),
    "joblib, bz2": (joblibbed(("bz2", 3)), "compressed joblib pickle (bzip2)"),
    "joblib, xz": (joblibbed(("xz", 3)), "compressed joblib pickle (xz)"),
    "joblib, lzma": (joblibbed(("lzma", 3)), "compressed joblib pickle (lzma)"),
    "a function": (with_function, "types that nobody has reviewed: test_model.leave_mark"),
    "os.system": (with_system, "posix.system"),
    "a method": (with_method, "StandardScaler.transform"),
    "a partial": (with_partial, "functools.partial"),
}


@pytest.mark.parametrize(("write", "words"), UNTRUSTED.values(), ids=UNTRUSTED.keys())
def test_what_could_run_code_is_not_opened(
    write: Callable[[Path], None], words: str, path: Path
) -> None:
    write(path)
    with pytest.raises(Refused) as refusal:
        load_model(path, allowed_types())
    assert words in str(refusal.value)
    assert not Path("mark").exists(), "it was executed"


@pytest.mark.parametrize("pack", [gzip.compress, bz2.compress, lzma.compress])
def test_a_packed_skops_file_is_not_opened_either(
    pack: Callable[[bytes], bytes], path: Path
) -> None:
    skops.io.dump(make_model(), path)
    path.write_bytes(pack(path.read_bytes()))
    with pytest.raises(Refused):
        load_model(path, allowed_types())


def rewrite(path: Path, change: Callable[[dict[str, Any]], Any]) -> None:
    """Change the schema of a skops file by hand."""
    with zipfile.ZipFile(path) as archive:
        members = {name: archive.read(name) for name in archive.namelist()}
    schema = json.loads(members["schema.json"])
    members["schema.json"] = json.dumps(change(schema) or schema).encode()
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def truncated(path: Path) -> None:
    skops.io.dump(make_model(), path)
    path.write_bytes(path.read_bytes()[:-300])


def empty(path: Path) -> None:
    path.touch()


def other_zip(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("readme.txt", "no model")


def flipped_bit(path: Path) -> None:
    skops.io.dump(make_model(), path)
    content = path.read_bytes()
    at = content.index(b"NUMPY") + 120
    path.write_bytes(content[:at] + bytes([content[at] ^ 1]) + content[at + 1 :])


def schema_is_a_list(path: Path) -> None:
    skops.io.dump(make_model(), path)
    rewrite(path, lambda schema: [schema])


def schema_is_no_json(path: Path) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{")


def without_members(path: Path) -> None:
    skops.io.dump(make_model(), path)
    with zipfile.ZipFile(path) as archive:
        schema = archive.read("schema.json")
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", schema)


def other_loader(path: Path) -> None:
    skops.io.dump(make_model(), path)
    rewrite(path, lambda schema: schema.update(__loader__="NoSuchNode"))


BROKEN = [
    truncated, empty, other_zip, flipped_bit, schema_is_a_list, schema_is_no_json,
    without_members, other_loader,
]  # fmt: skip


@pytest.mark.parametrize("write", BROKEN)
def test_a_broken_file_is_refused(write: Callable[[Path], None], path: Path) -> None:
    write(path)
    with pytest.raises(Refused, match=r"model\.skops"):
        load_model(path, allowed_types())


@pytest.mark.parametrize("write", [truncated, empty, other_zip, pickled, without_members])
def test_a_broken_file_is_not_sealed(write: Callable[[Path], None], path: Path) -> None:
    write(path)
    before = path.read_bytes()
    with pytest.raises(Refused):
        seal(path)
    assert path.read_bytes() == before


def with_more(path: Path, how: str) -> None:
    """A model with words beside it that are no part of the model."""
    skops.io.dump(make_model(), path)
    if how == "a member":
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr("rows.csv", "email\nada@example.com\n")
    elif how == "a comment":
        with zipfile.ZipFile(path, "a") as archive:
            archive.comment = b"ada@example.com"
    elif how == "before it":
        path.write_bytes(b"ada@example.com" + path.read_bytes())
    else:
        content, words = path.read_bytes(), b"ada@example.com"
        at = content.index(b"PK\x01\x02")  # the table of its members, which is found by its place
        place = (at + len(words)).to_bytes(4, "little")
        path.write_bytes(content[:at] + words + content[at:-6] + place + content[-2:])


@pytest.mark.parametrize("how", ["a member", "a comment", "before it", "within it"])
def test_a_file_that_holds_more_than_a_model_is_not_opened(how: str, path: Path) -> None:
    """A version would be stored with it, and nobody would see it."""
    with_more(path, how)
    with pytest.raises(Refused, match="is not a whole skops file"):
        load_model(path, allowed_types())
    with pytest.raises(Refused, match="is not a whole skops file"):
        seal(path)


def test_a_missing_file_is_refused(path: Path) -> None:
    with pytest.raises(Refused, match="is missing"):
        load_model(path, allowed_types())


@pytest.mark.filterwarnings("ignore::sklearn.exceptions.ConvergenceWarning")
def test_a_team_may_list_a_type(path: Path) -> None:
    rows = make_rows(200)
    inputs = rows[["height"]]
    model = MLPClassifier(hidden_layer_sizes=(2,), solver="lbfgs", max_iter=50)
    skops.io.dump(model.fit(inputs, rows["broken"]), path)
    with pytest.raises(Refused, match="types that nobody has reviewed") as refusal:
        load_model(path, allowed_types())
    names = str(refusal.value).partition("reviewed: ")[2].partition(". Opening")[0].split(", ")
    Path("model-types.txt").write_text("# ours\n" + "\n".join(f"{n}  # ok" for n in names) + "\n")
    np.testing.assert_array_equal(opened(path).predict_proba(inputs), model.predict_proba(inputs))


def test_names_are_exact_and_comments_are_none(path: Path) -> None:
    Path("model-types.txt").write_text("# sklearn.svm.SVC\n\nours.Model # ours.Other\nours.*\n")
    added = allowed_types(Path()) - allowed_types()
    assert added == {"ours.Model", "ours.*"}


def test_a_model_of_another_scikit_learn_is_refused(path: Path) -> None:
    skops.io.dump(make_model(), path)
    now, before = json.dumps(json.dumps(sklearn.__version__)), json.dumps('"1.0.0"')
    rewrite(path, lambda schema: json.loads(json.dumps(schema).replace(now, before)))
    with pytest.raises(Refused, match=r"from version 1\.0\.0"):
        load_model(path, allowed_types())


# Sealing

ESTIMATORS = {
    "logistic regression": LogisticRegression(),
    "tree": DecisionTreeClassifier(random_state=0),
    "forest": RandomForestClassifier(n_estimators=3, random_state=0),
    "boosting": HistGradientBoostingClassifier(max_iter=3, random_state=0),
}


def opened(path: Path) -> Any:
    """The model with all that its class has, which the library does not count on."""
    return load_model(path, allowed_types(Path()))


def fitted(name: str) -> tuple[Any, Any]:
    rows = make_rows(500)
    inputs = rows[["height", "number"]]
    return ESTIMATORS[name].fit(inputs, rows["broken"]), inputs


@pytest.mark.parametrize("name", ESTIMATORS)
def test_two_fits_give_the_same_bytes(name: str, path: Path) -> None:
    digests = set()
    for _ in range(2):
        skops.io.dump(fitted(name)[0], path)
        seal(path)
        digests.add(digest(path))
    assert len(digests) == 1


@pytest.mark.parametrize("name", ESTIMATORS)
def test_a_sealed_model_predicts_the_same(name: str, path: Path) -> None:
    model, inputs = fitted(name)
    skops.io.dump(model, path)
    seal(path)
    np.testing.assert_array_equal(opened(path).predict_proba(inputs), model.predict_proba(inputs))


@pytest.mark.parametrize("name", ESTIMATORS)
def test_sealing_twice_changes_nothing(name: str, path: Path) -> None:
    skops.io.dump(fitted(name)[0], path)
    seal(path)
    once = path.read_bytes()
    seal(path)
    assert path.read_bytes() == once


def test_a_thread_count_that_equals_another_number_leaves_that_number_alone(path: Path) -> None:
    """Python has one 2 only, so skops gives every 2 in the model the same id."""
    model, inputs = fitted("boosting")
    model._bin_mapper.n_threads = model.n_features_in_
    skops.io.dump(model, path)
    seal(path)
    assert opened(path).n_features_in_ == inputs.shape[1]


def test_different_models_stay_different(path: Path) -> None:
    digests = set()
    for weight in (1.0, 1.0 + 1e-12):
        skops.io.dump(make_model(weight), path)
        seal(path)
        digests.add(digest(path))
    assert len(digests) == 2


def test_processes_with_other_thread_counts_give_the_same_bytes(path: Path) -> None:
    code = """
import sys, numpy, skops.io
from pathlib import Path
from sklearn.ensemble import HistGradientBoostingClassifier
from gatewright.adapters.model_file import seal
x = numpy.random.default_rng(0).normal(size=(2000, 3))
model = HistGradientBoostingClassifier(max_iter=5, random_state=0).fit(x, x[:, 0] + x[:, 1] > 0)
skops.io.dump(model, sys.argv[1])
seal(Path(sys.argv[1]))
"""
    digests = set()
    for threads in ("1", "2"):
        target = path.with_stem(threads)
        environment = {**os.environ, "OMP_NUM_THREADS": threads}
        subprocess.run([sys.executable, "-c", code, str(target)], env=environment, check=True)
        digests.add(digest(target))
    assert len(digests) == 1
