"""Hostile files: refused without running anything, in bounded memory; what is personal stays."""

from __future__ import annotations

import hashlib
import io
import json
import os
import re
import subprocess
import sys
import zipfile
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
import skops.io
from parcels import CONTRACT, Project, make_model, make_project, make_rows

from gatewright.adapters.files import digest, read_text, text_digest
from gatewright.adapters.model_file import allowed_types, load_model, seal
from gatewright.adapters.strict_yaml import parse_yaml
from gatewright.adapters.tables import read_parquet
from gatewright.errors import Refused

# Model files


@pytest.fixture
def path(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path / "model.skops"


BOMB = 200_000_000  # bytes; more than a refusal may take


def packed(path: Path) -> None:
    """Hundreds of times as much as the file has."""
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("schema.json", b'{"a": 1}' + b" " * BOMB)


def packed_within(path: Path) -> None:
    """As a sparse matrix is kept, which NumPy unpacks: eleven times the same bytes."""
    inner = io.BytesIO()
    with zipfile.ZipFile(inner, "w", zipfile.ZIP_DEFLATED, compresslevel=1) as archive:
        archive.writestr("data.npy", bytes(BOMB))
        archive.filelist *= 11
    with zipfile.ZipFile(path, "w") as archive:
        archive.writestr("schema.json", "{}")
        archive.writestr("1.npz", inner.getvalue())


def lying(path: Path) -> None:
    """A member that says that it is small."""
    packed(path)
    content = path.read_bytes()
    size = (BOMB + 8).to_bytes(4, "little")
    assert size in content
    path.write_bytes(content.replace(size, (1000).to_bytes(4, "little")))


def with_array(header: str) -> Callable[[Path], None]:
    """An array that says it has more than there is."""

    def write(path: Path) -> None:
        skops.io.dump(make_model(), path)
        with zipfile.ZipFile(path) as archive:
            members = {name: archive.read(name) for name in archive.namelist()}
        name = next(name for name in members if name.endswith(".npy"))
        magic = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little")
        members[name] = magic + header.encode()
        write_members(path, members)

    return write


def write_members(path: Path, members: dict[str, bytes]) -> None:
    with zipfile.ZipFile(path, "w") as archive:
        for name, content in members.items():
            archive.writestr(name, content)


def with_member(name: str, link: bool = False) -> Callable[[Path], None]:
    def write(path: Path) -> None:
        skops.io.dump(make_model(), path)
        item = zipfile.ZipInfo(name)
        item.external_attr = (0o120777 if link else 0o100644) << 16
        with zipfile.ZipFile(path, "a") as archive:
            archive.writestr(item, "/etc/passwd")

    return write


def twice(path: Path) -> None:
    skops.io.dump(make_model(), path)
    with zipfile.ZipFile(path, "a") as archive, pytest.warns(UserWarning, match="Duplicate"):
        archive.writestr("schema.json", "{}")


def deep(path: Path) -> None:
    write_members(path, {"schema.json": b"[" * 200_000 + b"]" * 200_000})


def hidden(path: Path) -> None:
    write_members(path, {"schema.json": b"{}"})
    content = bytearray(path.read_bytes())
    for start in (content.index(b"PK\x03\x04") + 6, content.index(b"PK\x01\x02") + 8):
        content[start] |= 1  # says that it is encrypted
    path.write_bytes(content)


def endless(path: Path) -> None:
    path.symlink_to("/dev/zero")


def of_a_later_format(path: Path) -> None:
    write_members(path, {"schema.json": b"{}"})
    content = bytearray(path.read_bytes())
    content[content.index(b"PK\x01\x02") + 6] = 99  # the version that it takes to unpack it
    path.write_bytes(content)


def folder(path: Path) -> None:
    path.mkdir()


HOSTILE: dict[str, tuple[Callable[[Path], None], str]] = {
    "a bomb": (packed, "schema.json is packed"),
    "a bomb within": (packed_within, "unpacks to more than 2 GB"),
    "a bomb that lies": (lying, "is packed"),
    "an array of a terabyte": (
        with_array("{'descr': '<f8', 'fortran_order': False, 'shape': (137438953472,), }\n"),
        "cannot be opened",
    ),
    "an array of pickles": (
        with_array("{'descr': '|O', 'fortran_order': False, 'shape': (1,), }\n"),
        "cannot be opened",
    ),
    "a way out": (with_member("../../escaped"), "a member named '../../escaped'"),
    "an absolute path": (with_member("/escaped"), "a member named '/escaped'"),
    "a link": (with_member("a/b", link=True), "a member named 'a/b'"),
    "a member twice": (twice, "a member named 'schema.json'"),
    "brackets without end": (deep, "is not a whole skops file"),
    "an encrypted member": (hidden, "schema.json is packed"),
    "a zip of a later format": (of_a_later_format, "is not a whole skops file"),
    "a link to what has no end": (endless, "is no file"),
    "a folder": (folder, "is no file"),
}
MEASURED = """
import json, resource, sys
from pathlib import Path
from gatewright.adapters.model_file import allowed_types, load_model
from gatewright.errors import Refused
import skops.io

def most():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss

before = most()
for path in sys.argv[1:]:
    try:
        load_model(Path(path), allowed_types())
    except Refused as error:
        print(json.dumps([str(error), (most() - before) // 1024]), flush=True)
"""


@pytest.fixture(scope="module")
def answers(tmp_path_factory: pytest.TempPathFactory) -> dict[str, tuple[Path, str, int]]:
    """Of one process that opens all of them: the file, what it said, and its most memory in MB."""
    paths = {name: tmp_path_factory.mktemp("hostile") / "model.skops" for name in HOSTILE}
    for name, (write, _) in HOSTILE.items():
        write(paths[name])
    command = [sys.executable, "-c", MEASURED, *map(str, paths.values())]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60)
    said = [json.loads(line) for line in done.stdout.splitlines()]
    assert len(said) == len(HOSTILE), f"one was opened, or ended the process: {said} {done.stderr}"
    return {name: (paths[name], *each) for name, each in zip(HOSTILE, said, strict=True)}


@pytest.mark.parametrize(
    ("name", "words"),
    [(name, words) for name, (_, words) in HOSTILE.items()],
    ids=HOSTILE.keys(),
)
def test_a_hostile_model_is_refused_in_bounded_memory_and_time(
    name: str, words: str, answers: dict[str, tuple[Path, str, int]]
) -> None:
    path, said, megabytes = answers[name]
    assert words in said
    assert megabytes < 150
    assert [*path.parent.iterdir()] == [path]
    assert not Path("/escaped").exists()


@pytest.mark.parametrize("write", [packed, twice, endless, with_member("../x")])
def test_a_hostile_model_is_not_sealed(write: Callable[[Path], None], path: Path) -> None:
    write(path)
    with pytest.raises(Refused):
        seal(path)


def test_a_model_with_a_sparse_matrix_is_opened(path: Path) -> None:
    """What NumPy packs within is no bomb by itself."""
    from scipy.sparse import csr_array

    model = make_model()
    model.extra_ = csr_array(np.eye(3))
    skops.io.dump(model, path)
    seal(path)
    Path("model-types.txt").write_text("scipy.sparse._csr.csr_array\n")
    opened: Any = load_model(path, allowed_types(Path()))
    np.testing.assert_array_equal(opened.extra_.toarray(), np.eye(3))


# Data


def test_a_parquet_file_that_unpacks_to_more_than_the_machine_has_is_not_opened(
    trained: Project, monkeypatch: pytest.MonkeyPatch
) -> None:
    """One value, repeated: a few kilobytes in the file. The machine has memory for a tenth."""
    path = trained.root / "data/raw/bomb.parquet"
    rows = make_rows(1, 9000)
    group = pa.Table.from_pandas(rows, preserve_index=False).take(pa.array(np.zeros(100_000, int)))
    with pq.ParquetWriter(path, group.schema) as writer:
        writer.write_table(group)
    assert path.stat().st_size < 100_000
    assert "unpacks to" not in trained.mlops("check", expect=1).err
    told = pq.read_metadata(path)
    sizes = {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": told.num_rows * told.num_columns * 8 // 10}
    monkeypatch.setattr(os, "sysconf", sizes.__getitem__)
    said = trained.mlops("check", expect=1).err
    assert "unpacks to at least" in said
    assert "It is not opened" in said


def repeated(text: str | bytes, times: int) -> pa.Array:
    """A dictionary of one text, which the file holds once."""
    return pa.DictionaryArray.from_arrays(np.zeros(times, dtype="int32"), pa.array([text]))


def in_lists(times: int) -> pa.Array:
    return pa.ListArray.from_arrays(np.arange(times + 1, dtype="int32"), repeated(LONG, times))


LONG = "a" * 2_000_000
REPEATED: dict[str, Callable[[int], dict[str, pa.Array]]] = {
    "texts": lambda times: {"shop": repeated(LONG, times)},
    "bytes": lambda times: {"shop": repeated(LONG.encode(), times)},
    "texts in lists": lambda times: {"shop": in_lists(times)},
    "texts in structures": lambda times: {
        "shop": pa.StructArray.from_arrays([repeated(LONG, times)], ["name"]),
        "shop.name": repeated("a", times),
    },
    "numbers in a list": lambda times: {
        "shop": pa.LargeListArray.from_arrays(
            pa.array([0, times * 250_000]), pa.array(np.zeros(times * 250_000, dtype="int8"))
        )
    },
}


@pytest.mark.parametrize("columns", REPEATED.values(), ids=REPEATED.keys())
def test_a_parquet_file_that_repeats_what_is_long_is_not_opened(
    columns: Callable[[int], dict[str, pa.Array]], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """On a machine of 64 MB: two of them fit, three hundred do not."""
    path = tmp_path / "bomb.parquet"
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 64_000_000}.get)
    pq.write_table(pa.table(columns(2)), path)
    assert len(read_parquet(path)) in (1, 2)
    pq.write_table(pa.table(columns(300)), path)
    assert path.stat().st_size < 3_000_000
    with pytest.raises(Refused, match="unpacks to at least 1 GB"):
        read_parquet(path)


def test_a_parquet_file_of_many_short_texts_is_opened(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Though it would not fit if each were as long as all of them."""
    monkeypatch.setattr(os, "sysconf", {"SC_PAGE_SIZE": 1, "SC_PHYS_PAGES": 256_000_000}.get)
    texts = [*(f"shop {number}" for number in range(100_000)), None]
    pq.write_table(pa.table({"shop": texts}), tmp_path / "a.parquet")
    assert len(read_parquet(tmp_path / "a.parquet")) == 100_001


@pytest.mark.parametrize("content", [b"", b"PAR1", b"PAR1" + bytes(50) + b"PAR1", b"a,b\n=1,2\n"])
def test_what_is_no_parquet_file_is_refused(content: bytes, tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(content)
    with pytest.raises(Refused, match="no readable Parquet file"):
        read_parquet(tmp_path / "a.parquet")


NASTY = "=1+1|<b>@acme"


def test_a_value_of_the_data_is_no_markup_and_no_formula(tmp_path: Path) -> None:
    """Reports are Markdown and JSON; nothing that is written is opened by a spreadsheet."""
    contract = CONTRACT.replace("north", json.dumps(NASTY))
    assert contract != CONTRACT

    def rows(n: int, first: int) -> pd.DataFrame:
        return make_rows(n, first).replace({"shop": {"north": NASTY}})

    project = make_project(tmp_path, {"contract.yaml": contract}, rows)
    (project.root / "docs").mkdir(exist_ok=True)
    (project.root / "docs/model-card-words.md").write_text("Words.\n")
    project.mlops("card")
    card = (project.root / "reports/model-card.md").read_text()
    assert "acme" in card
    assert not re.search(r"(?<!\\)(<b|@acme|\|<)", card)
    assert list(project.root.rglob("*.csv")) == []


# Texts

LAUGHS = "a: &a [x, x]\n" + "".join(
    f"{b}: &{b} [*{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}, *{a}]\n"
    for a, b in zip("abcdefghijklmn", "bcdefghijklmno", strict=True)
)
TRICKS = {
    "aliases that unfold": LAUGHS,
    "an alias of itself": "a: &a [*a]\n",
    "a merge of an alias": "a: &a {x: 1}\nb:\n  <<: *a\n",
    "brackets without end": "a: " + "[" * 100_000 + "\n",
    "dashes without end": "a:\n  " + "- " * 100_000 + "x\n",
    "questions without end": "? " * 100_000 + "x\n",
    "steps without end": "".join(" " * step + "a:\n" for step in range(2000)),
    "a day that is none": "a: 2026-13-45\n",
    "a number without end": "a: " + "1" * 100_000 + "\n",
    "a key that is a list": "? [a]\n: 1\n",
    "code": "a: !!python/object/apply:os.system ['touch mark']\n",
    "two texts": "a: 1\n---\nb: 2\n",
    "a control character": "a: \x07\n",
}


@pytest.mark.parametrize("text", TRICKS.values(), ids=TRICKS.keys())
def test_yaml_that_is_no_plain_data_is_refused(text: str) -> None:
    with pytest.raises(Refused, match="is not valid YAML"):
        parse_yaml(text, "params.yaml")


@pytest.mark.parametrize("name", ["contract.yaml", "gates.yaml"])
@pytest.mark.parametrize("text", [LAUGHS, "a: &a [*a]\n"], ids=["unfolds", "itself"])
def test_every_command_refuses_it_in_a_sentence(name: str, text: str, trained: Project) -> None:
    (trained.root / name).write_text(text)
    assert "an alias; write out what it stands for" in trained.mlops("gate", expect=1).err


def test_a_text_is_read_only_from_a_file_of_bounded_size(tmp_path: Path) -> None:
    (tmp_path / "endless").symlink_to("/dev/zero")
    with (tmp_path / "huge").open("wb") as file:
        file.truncate(10**10)
    os.mkfifo(tmp_path / "pipe")
    for name in ("endless", "huge", "pipe", "nothing"):
        with pytest.raises(Refused, match="cannot be read"):
            read_text(tmp_path / name)


# Storage


def test_a_link_in_the_storage_branch_is_refused(second: Project) -> None:
    """It would be read, on the runner, as if it were the file."""
    name = second.stored("1.1.0", "dev")

    def link(tree: Path) -> None:
        (tree / name).unlink()
        (tree / name).symlink_to("/etc/passwd")

    second.change_branch("dvc-storage", link)
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "holds symbolic links" in said.err
    assert "root:" not in said.err + said.out


def test_a_file_that_grew_is_not_read_to_its_end(second: Project) -> None:
    name = second.stored("1.1.0", "dev")

    def grow(tree: Path) -> None:
        os.chmod(tree / name, 0o644)
        with (tree / name).open("ab") as file:
            file.write(bytes(5_000_000))

    second.change_branch("dvc-storage", grow)
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "was truncated or altered" in said.err
    read = int(said.err.partition("registered: ")[2].partition(" bytes")[0])
    assert read < 3_000_000


# Registry


DEV = "environments/dev.yaml"


def replay(tree: Path) -> None:
    """Its record was good once; nobody forged anything."""
    git = Project(tree).git
    first = git("log", "--reverse", "--format=%H", "--", DEV).splitlines()[0]
    (tree / DEV).write_text(git("show", f"{first}:{DEV}") + "\n")


def forge(tree: Path) -> None:
    Project(tree).edit(DEV, "previous: 1.0.0", "previous: null")


def repeat(tree: Path) -> None:
    Project(tree).edit(DEV, "previous: 1.0.0", "previous: 1.1.0")


def remove(tree: Path) -> None:
    """Without its champion the gate would ask less."""
    (tree / DEV).unlink()


def spoil(tree: Path) -> None:
    (tree / DEV).write_text("all: good\n")


def merge_evil(tree: Path) -> None:
    """Changes that are in no commit but the merge."""
    git = Project(tree).git
    git("checkout", "--quiet", "-b", "other", "HEAD~1")
    git("commit", "--quiet", "--no-verify", "--allow-empty", "-m", "Nothing")
    git("checkout", "--quiet", "registry")
    git("merge", "--quiet", "--no-ff", "--no-commit", "other")
    forge(tree)


@pytest.mark.parametrize(
    ("change", "why"),
    [
        (replay, "it was there once before, and newer ones came after it"),
        (forge, "it says that nothing was live before, where 1.1.0 was"),
        (repeat, "it replaces 1.1.0 by 1.1.0"),
        (remove, "it was removed"),
        (spoil, "it was edited"),
        (merge_evil, "it says that nothing was live before, where 1.1.0 was"),
    ],
)
def test_what_no_command_wrote_is_refused_told_and_mended_by_a_revert(
    change: Callable[[Path], None], why: str, second: Project
) -> None:
    second.change_branch("registry", change)
    for words in (("gate", "--env", "dev"), ("status",), ("rollback", "dev")):
        said = second.mlops(*words, expect=1).err
        assert why in said
        assert "Traceback" not in said
    assert f"{DEV} in the registry is not what a command wrote" in doctor(second)
    found = re.search(r"revert commit (\w{12}) on the branch registry", doctor(second))
    assert found

    def revert(tree: Path) -> None:
        merged = ["-m", "1"] if change is merge_evil else []
        Project(tree).git("revert", "--no-commit", *merged, found[1])

    second.change_branch("registry", revert)
    told = doctor(second)
    assert f"{DEV} was mended; commit {found[1]} is passed over" in told
    assert "in the registry is not what a command wrote" not in told
    assert "passed over" in second.mlops("history").out
    assert second.live()["dev"] == "1.1.0"
    second.mlops("promote", "1.1.0", "--to", "staging")
    assert "is back on 1.0.0" in second.mlops("rollback", "dev").out
    assert second.live()["dev"] == "1.0.0"


def test_a_promotion_that_no_command_wrote_opens_no_way(second: Project) -> None:
    """Staging was never asked, though its file said for an hour that 1.1.0 was there."""
    path = "environments/staging.yaml"
    right = second.git("show", f"refs/mlops/seen:{path}") + "\n"
    wrong = right.replace("version: 1.0.0", "version: 1.1.0")
    second.change_branch("registry", lambda tree: (tree / path).write_text(wrong) and None)
    assert "where 1.0.0 was" in second.mlops("status", expect=1).err
    second.change_branch("registry", lambda tree: (tree / path).write_text(right) and None)
    said = second.mlops("promote", "1.1.0", "--to", "production", expect=1)
    assert "was never in staging" in said.err
    second.mlops("promote", "1.1.0", "--to", "staging")
    second.mlops("promote", "1.1.0", "--to", "production")


def test_a_number_that_somebody_used_up_is_passed_by(second: Project) -> None:
    """A version is slipped in without its tag, and taken out again."""

    def slip(tree: Path) -> None:
        text = (tree / "versions/1.1.0.yaml").read_text().replace("1.1.0", "1.2.0")
        (tree / "versions/1.2.0.yaml").write_text(text)

    second.retrain(0.25)
    second.change_branch("registry", slip)
    assert "is not the one that its tag v1.2.0" in second.mlops("register", expect=1).err
    second.change_branch("registry", lambda tree: (tree / "versions/1.2.0.yaml").unlink())
    assert "Registered 1.2.1" in second.mlops("register").out


def test_a_tag_of_a_developer_stops_nobody_and_its_number_is_passed_by(second: Project) -> None:
    second.git("tag", "v1.2.0")
    second.git("tag", "-a", "-m", "Mine", "v2.0.0")
    second.git("push", "--quiet", "origin", "v1.2.0", "v2.0.0")
    assert second.live()["dev"] == "1.1.0"
    told = second.mlops("doctor", expect=1).out
    assert "tag v1.2.0" in told
    assert "`git push origin :refs/tags/v2.0.0` removes it" in told
    second.retrain(0.25)
    assert "Registered 1.2.1" in second.mlops("register").out
    second.mlops("rollback", "dev")


def test_two_versions_with_one_number_are_refused_and_told(second: Project) -> None:
    """Record and tag are both replaced, by somebody who may write both."""
    path = "versions/1.1.0.yaml"
    second.change_branch(
        "registry", lambda tree: Project(tree).edit(path, "parameters", "other parameters")
    )
    second.git("fetch", "--quiet", "origin", "registry")
    body = second.git("show", "FETCH_HEAD:" + path) + "\n"
    target = second.record("1.1.0")["commit"]
    words = f"Register 1.1.0\n\nrecord {text_digest(body)}"
    second.git("tag", "--force", "-a", "-m", words, "v1.1.0", target)
    second.git("push", "--quiet", "--force", "origin", "v1.1.0")
    said = second.mlops("promote", "1.1.0", "--to", "staging", expect=1)
    assert "there is another record of 1.1.0 before it" in said.err
    assert "there is another record of 1.1.0 before it" in doctor(second)


def test_a_tag_that_was_moved_is_told(second: Project) -> None:
    second.git("tag", "--force", "-a", "-m", "Mine", "v1.1.0", "HEAD")
    second.git("push", "--quiet", "--force", "origin", "v1.1.0")
    assert "is not the one that its tag v1.1.0 was made for" in doctor(second)


def test_an_edited_record_and_a_swapped_file_are_told(second: Project) -> None:
    second.change_branch(
        "registry", lambda tree: Project(tree).edit("versions/1.0.0.yaml", "first", "firstly")
    )
    name = second.stored("1.1.0", "dev")

    def swap(tree: Path) -> None:
        os.chmod(tree / name, 0o644)
        (tree / name).write_bytes((tree / second.stored("1.0.0", "dev")).read_bytes())

    second.change_branch("dvc-storage", swap)
    said = doctor(second)
    assert "there is another record of 1.0.0 before it" in said
    assert "was truncated or altered" in said


def test_a_retirement_outlives_its_file(second: Project) -> None:
    second.mlops("rollback", "dev")
    second.mlops("retire", "1.1.0", "--reason", "leaks")
    second.change_branch("registry", lambda tree: (tree / "retired/1.1.0.yaml").unlink())
    assert "leaks" in second.mlops("promote", "1.1.0", "--to", "dev", expect=1).err
    assert "retired/1.1.0.yaml in the registry is not what a command wrote" in doctor(second)


def test_a_file_that_belongs_in_no_registry_is_told(second: Project) -> None:
    second.change_branch("registry", lambda tree: (tree / "a note.txt").write_text("!") and None)
    assert "holds a note.txt, which no command writes" in doctor(second)
    second.change_branch("registry", lambda tree: (tree / "a note.txt").unlink())
    assert "a note.txt was mended" in doctor(second)


def test_the_model_that_a_record_names_is_its_version_s(second: Project) -> None:
    """A record that fits, of somebody who knows how."""

    def forge_well(tree: Path) -> None:
        record = parse_yaml((tree / DEV).read_text(), "record")
        record |= {"version": "1.0.0", "previous": "1.1.0", "action": "roll back"}
        (tree / DEV).write_text(json.dumps(record | {"model": "0" * 64}))

    second.change_branch("registry", forge_well)
    assert "names another model than that of 1.0.0" in doctor(second)


def test_a_rewritten_history_is_told(second: Project) -> None:
    stranger = second.clone("stranger")
    stranger.git("checkout", "--quiet", "registry")
    stranger.git("reset", "--quiet", "--hard", "HEAD~1")
    stranger.git("push", "--quiet", "--no-verify", "--force", "origin", "registry")
    assert "was rewritten or removed" in doctor(second)


def test_a_registry_that_holds_together_is_told_so(second: Project) -> None:
    said = doctor(second)
    assert "2 versions are as they were registered" in said
    assert "files are whole" in said


def doctor(project: Project) -> str:
    return project.mlops("doctor", expect=1).out  # elsewhere than on GitHub something is bad


# People

CANARY = "canary-6d1f"


def personal(n: int, first: int) -> pd.DataFrame:
    return make_rows(n, first).assign(email=[f"{CANARY}-{first + i}" for i in range(n)])


def everything(project: Project, raw: set[str]) -> dict[str, bytes]:
    """All that was written: files, and every object that Git holds; not the raw data itself."""
    found = {
        str(path): path.read_bytes()
        for path in [*project.root.rglob("*"), *project.origin.rglob("*")]
        if path.is_file() and not path.is_symlink() and digest(path, "md5") not in raw
    }
    for place in (project.root, project.origin):
        words = ["git", "-C", str(place), "cat-file", "--batch-all-objects", "--batch"]
        told = io.BytesIO(subprocess.run(words, capture_output=True, check=True).stdout)
        while line := told.readline():
            name, _, size = line.decode().split()
            found[f"{place.name}:{name}"] = told.read(int(size))
            assert told.read(1) == b"\n"
    return found


def readable(content: bytes) -> bytes:
    """With Parquet unpacked."""
    if content[:4] != b"PAR1":
        return content
    table: str = pd.read_parquet(io.BytesIO(content)).to_csv()
    return table.encode() + content


def test_a_personal_value_is_in_nothing_that_is_written(tmp_path: Path) -> None:
    project = make_project(tmp_path, rows=personal)
    said = [project.mlops("gate", "--explain"), project.mlops("register")]
    said += [project.mlops("promote", "1.0.0", "--to", env) for env in ("dev", "staging")]
    personal(500, 7000).to_parquet(project.root / "data/raw/2026-03.parquet")
    said.append(project.mlops("run"))
    project.commit("More")
    project.git("push", "--quiet")
    said += [project.mlops("gate", "--json"), project.mlops("register")]
    said += [project.mlops("promote", "1.0.1", "--to", "dev"), project.mlops("smoke", "dev")]
    said += [project.mlops("history"), project.mlops("status", "--json")]
    raw = {digest(path, "md5") for path in (project.root / "data/raw").iterdir()}
    wrong = personal(20, 9000)
    wrong.loc[0, "height"] = 99.0
    wrong.loc[1, "number"] = 9002
    bad = project.root / "data/raw/2026-04.parquet"
    wrong.to_parquet(bad)
    said.append(project.mlops("check", expect=1))
    raw.add(digest(bad, "md5"))
    told = "".join(each.out + each.err for each in said)
    assert CANARY not in told
    stored = everything(project, raw)
    assert len(stored) > 200
    hold = {name for name, content in stored.items() if CANARY.encode() in readable(content)}
    other = [
        n for n in hold if hashlib.md5(stored[n], usedforsecurity=False).hexdigest() not in raw
    ]
    assert other == []
    assert hold, "the raw data itself is stored, so the search finds what is there"
