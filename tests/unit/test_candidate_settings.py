"""Nothing that a candidate's repository sets is run or believed by the judge."""

from __future__ import annotations

import pickle
import sqlite3
import threading
import zlib
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from typing import Any

import pytest
from parcels import Project
from reviews import Review

from gatewright.adapters.git import Git, objects_of
from gatewright.errors import Undecided

Trap = Callable[[Project, Path, str], None]


def program(folder: Path, marker: Path) -> Path:
    """A program that leaves a marker where it ran."""
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / "trap"
    path.write_text(f"#!/bin/sh\ntouch '{marker}'\ncat\n")
    path.chmod(0o755)
    return path


def hooks(candidate: Project, marker: Path, _: str) -> None:
    for name in ("post-checkout", "reference-transaction", "post-index-change", "pre-auto-gc"):
        program(candidate.root / ".git/hooks", marker).rename(candidate.root / f".git/hooks/{name}")


def hooks_elsewhere(candidate: Project, marker: Path, base: str) -> None:
    hooks(candidate, marker, base)
    place = (candidate.root / ".git/hooks").rename(candidate.root.parent / "hooks")
    candidate.git("config", "core.hooksPath", str(place))


def set_to(*keys: str) -> Trap:
    def change(candidate: Project, marker: Path, _: str) -> None:
        for key in keys:
            trap = str(program(candidate.root.parent / "traps", marker))
            candidate.git("config", key, trap)

    return change


def attributes(candidate: Project, marker: Path, _: str) -> None:
    """Filters and text conversions, by a file of attributes that the settings name."""
    trap = program(candidate.root.parent / "traps", marker)
    names = candidate.root.parent / "attributes"
    names.write_text("* filter=trap diff=trap merge=trap\n")
    candidate.git("config", "core.attributesFile", str(names))
    info = candidate.root / ".git/info/attributes"
    info.write_text(names.read_text())
    for key in (
        "filter.trap.smudge",
        "filter.trap.clean",
        "diff.trap.textconv",
        "merge.trap.driver",
    ):
        candidate.git("config", key, str(trap))
    candidate.git("config", "diff.trap.command", str(trap))


def transport(candidate: Project, marker: Path, base: str) -> None:
    """The base branch's own folder is said to be a command."""
    trap = program(candidate.root.parent / "traps", marker)
    candidate.git("config", "protocol.ext.allow", "always")
    candidate.git("config", f"url.ext::{trap} .insteadOf", base)


def state(candidate: Project, marker: Path, _: str) -> None:
    """DVC would look for digests in a database of pickles that the candidate brings."""

    class Run:
        def __reduce__(self) -> Any:
            return Path.touch, (marker,)

    with sqlite3.connect(candidate.root / "cache.db") as database:
        database.execute("create table Cache (key, value)")
        database.execute("insert into Cache values (?, ?)", ("x", pickle.dumps(Run())))
    config = candidate.root / ".dvc/config"
    config.write_text("[core]\n    site_cache_dir = ../seen\n" + config.read_text())
    candidate.commit("Settings")


TRAPS: dict[str, Trap] = {
    "a hook": hooks,
    "a monitor of files": set_to("core.fsmonitor"),
    "hooks elsewhere": hooks_elsewhere,
    "another diff": set_to("diff.external"),
    "how packs are made": set_to("uploadpack.packObjectsHook", "core.sshCommand", "core.pager"),
    "attributes": attributes,
    "a transport": transport,
    "a database of DVC": state,
}


@pytest.mark.parametrize("trap", TRAPS.values(), ids=TRAPS.keys())
def test_nothing_that_it_sets_is_run(trap: Trap, released: Project, tmp_path: Path) -> None:
    review, marker = Review(released), tmp_path / "it ran"
    review.candidate.edit("params.yaml", "1.0", "0.5")
    review.candidate.commit()
    trap(review.candidate, marker, str(released.root))
    marker.unlink(missing_ok=True)
    verdict = review.judge(expect=1)
    assert "train would run again" in str(verdict)
    assert not marker.exists()
    assert not (review.candidate.root / "seen").exists(), "DVC made its state where it was told to"


def test_a_commit_is_what_it_holds(released: Project) -> None:
    """A replacement and a graft that hide the change from every command of Git."""
    review = Review(released)
    before = review.candidate.git("rev-parse", "HEAD")
    review.candidate.edit("params.yaml", "1.0", "0.5")
    review.candidate.commit()
    changed = review.candidate.git("rev-parse", "HEAD")
    tree = review.candidate.git("rev-parse", f"{before}^{{tree}}")
    harmless = review.candidate.git("commit-tree", tree, "-p", before, "-m", "Words")
    review.candidate.git("replace", changed, harmless)
    assert review.candidate.git("diff", "--name-only", before, "HEAD") == ""
    assert "train would run again" in str(review.judge(expect=1))
    review.candidate.git("replace", "-d", changed)
    (review.candidate.root / ".git/info/grafts").write_text(f"{changed}\n")
    with objects_of(review.candidate.root, released.root) as git:
        assert git("rev-parse", "HEAD^") == before


def test_an_object_is_named_by_what_it_holds(released: Project) -> None:
    """One that was written under the name of another does not come along."""
    review = Review(released)
    review.candidate.edit("params.yaml", "1.0", "0.5")
    review.candidate.commit()
    new = review.candidate.git("rev-parse", "HEAD:params.yaml")
    kept = Git(review.candidate.root).raw("cat-file", "blob", "HEAD^:params.yaml")
    place = review.candidate.root / f".git/objects/{new[:2]}/{new[2:]}"
    place.chmod(0o644)
    place.write_bytes(zlib.compress(b"blob %d\0" % len(kept) + kept))
    with pytest.raises(Undecided), objects_of(review.candidate.root, released.root):
        pass


def test_without_its_history_nothing_is_judged(released: Project) -> None:
    review = Review(released)
    review.candidate.edit("params.yaml", "1.0", "0.5")
    review.candidate.commit()
    shallow = review.candidate.root.parent / "shallow"
    url = f"file://{review.candidate.root}"
    review.candidate.git(
        "clone", "--quiet", "--depth", "1", "--branch", "change", url, str(shallow)
    )
    said = released.mlops("review", str(shallow), "--claims", str(review.claims), expect=2)
    assert "fetch-depth: 0" in said.err


@pytest.fixture
def asked() -> Iterator[tuple[str, list[str]]]:
    """A server of this machine, and what it was asked for."""
    paths: list[str] = []

    class Handler(BaseHTTPRequestHandler):
        def do_GET(self) -> None:
            paths.append(self.path)
            self.send_error(404)

        do_HEAD = do_GET  # noqa: N815

        def log_message(self, *_: object) -> None:
            pass

    server = HTTPServer(("127.0.0.1", 0), Handler)
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    yield f"http://127.0.0.1:{server.server_port}", paths
    server.shutdown()
    thread.join()
    server.server_close()


def test_no_address_that_it_names_is_asked(released: Project, asked: tuple[str, list[str]]) -> None:
    review, (url, paths) = Review(released), asked
    more = (
        "deps:\n- path: {url}/rows\n  hash: md5\nouts:\n- path: rows\n  md5: {md5}\n  hash: md5\n"
    )
    (review.candidate.root / "data/more.dvc").write_text(more.format(url=url, md5="ab" * 16))
    review.candidate.commit()
    assert "data/more.dvc brings its data from elsewhere" in str(review.judge(expect=1))
    review.candidate.git("rm", "-q", "data/more.dvc")
    review.candidate.edit("dvc.yaml", "[contract.yaml, data/raw]", f"[contract.yaml, '{url}/a']")
    review.candidate.commit()
    assert "lies outside of the project" in str(review.judge(expect=1))
    assert paths == []
