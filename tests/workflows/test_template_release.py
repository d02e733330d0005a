"""The template's own workflows: a pull request is tested, a tag releases the library.

`uv publish` and `gh release` are stood in for, as nothing here reaches the package index or
GitHub's releases; all else of uv is the real one.
"""

from __future__ import annotations

import hashlib
import json
import shutil
import subprocess
import sys
import zipfile
from collections.abc import Iterator
from pathlib import Path

import pytest
from acting import GitHubActions, Walk, on_github
from check_release import DUTIES, disagreements, section
from projects import TEMPLATE, Project, copy_template
from published import Description

VERSION = json.loads((TEMPLATE / "cookiecutter.json").read_text())["_library_version"]
TAG = f"v{VERSION}"
WHEEL, SDIST = f"gatewright-{VERSION}-py3-none-any.whl", f"gatewright-{VERSION}.tar.gz"

# uv, but what it would publish is written down.
UV = """\
#!/bin/sh
[ "$1" = publish ] || exec {uv} "$@"
[ -e {place}/index-down ] && {{ echo "the index does not answer" >&2; exit 2; }}
test "$2 $3" = "--trusted-publishing always" || exit 64
shift 3
sha256sum "$@" | sed 's|  .*/|  |' >> {place}/published
"""
# gh with releases in a folder: a draft is there and not to be seen.
GH = """\
#!/bin/sh
set -e
test -n "$GH_TOKEN" && test "$GH_REPO" = acme/late-flights
release={place}/releases/$3
case "$1 $2" in
  "release view") test -d "$release" ;;
  "release create")
    mkdir -p "$release"
    echo "$*" | grep -q -- "--draft --verify-tag" && touch "$release/draft"
    for last; do :; done
    cp "$last" "$release/notes.md" ;;
  "release upload")
    [ -e {place}/uploads-down ] && exit 1
    shift 3
    for file; do [ "$file" = --clobber ] || cp "$file" "$release"; done ;;
  "release edit") test "$4" = --draft=false && rm "$release/draft" ;;
  *) exit 64 ;;
esac
"""


@pytest.fixture
def github(tmp_path: Path, published: Description) -> Iterator[GitHubActions]:
    """The template in a repository of its own, on GitHub."""
    root = copy_template(tmp_path / "template")
    ours = Project(root, Path(sys.prefix))
    ours.git("init", "--quiet", "--initial-branch", "main")
    ours.git("init", "--quiet", "--bare", "--initial-branch", "main", str(ours.origin))
    ours.git("remote", "add", "origin", str(ours.origin))
    ours.git("add", "--all", "--force")
    ours.git("commit", "--quiet", "--no-verify", "-m", "The template")
    ours.git("push", "--quiet", "origin", "main")
    with on_github(ours, published) as github:
        github.prepared = False  # its environment is another one than that of a project
        for name, script in (("uv", UV), ("gh", GH)):
            path = github.place / "bin" / name
            path.write_text(script.format(uv=shutil.which("uv"), place=github.place))
            path.chmod(0o755)
        yield github


def tagged(github: GitHubActions, tag: str = TAG, again: int | None = None) -> Walk:
    """Somebody pushes a tag for the commit at hand."""
    ours = github.project
    ours.git("tag", "--force", "--annotate", "-m", tag, tag)
    ours.git("push", "--quiet", "--force", str(ours.origin), tag)
    sha = ours.git("rev-parse", "HEAD")
    payload = {"ref": f"refs/tags/{tag}", "before": "0" * 40, "after": sha, "deleted": False}
    return github.walk("release.yml", "push", payload, sha, ref=tag, again=again)


def digests(folder: Path) -> dict[str, str]:
    return {
        path.name: hashlib.sha256(path.read_bytes()).hexdigest()
        for path in folder.iterdir()
        if path.name.startswith("gatewright-")
    }


def published_files(github: GitHubActions) -> dict[str, str]:
    path = github.place / "published"
    lines = path.read_text().splitlines() if path.exists() else []
    return {name: digest for digest, name in (line.split() for line in lines)}


@pytest.mark.slow
def test_a_pull_request_is_tested_on_every_python_with_one_lock(github: GitHubActions) -> None:
    answers = json.loads((TEMPLATE / "cookiecutter.json").read_text())
    make = github.place / "bin/make"
    noted = github.place / "made"
    lock = '$(sha256sum uv.lock | cut -d" " -f1)'
    make.write_text(f'#!/bin/sh\necho "$1 ${{UV_PYTHON:-any}} {lock}" >> {noted}\n')
    make.chmod(0o755)
    github.branch("change")
    walk = github.pull_request("tests.yml")
    done = {"lock": "success", "python": "success", "demo": "success", "tests": "success"}
    assert walk.jobs == done, walk.end
    made = [line.split() for line in noted.read_text().splitlines()]
    asked = {("test", version) for version in answers["python_version"]} | {("demo", "any")}
    assert {(what, python) for what, python, _ in made} == asked
    assert len({lock for *_, lock in made}) == 1, "all of them have the same packages"

    make.write_text('#!/bin/sh\n[ "$1" = test ]\n')
    walk = github.pull_request("tests.yml")
    assert walk.jobs == done | {"demo": "failure", "tests": "failure"}


@pytest.mark.slow
def test_a_tag_is_released_and_a_step_that_failed_is_run_again(github: GitHubActions) -> None:
    (github.place / "index-down").touch()
    walk = tagged(github)
    assert walk.jobs == {"build": "success", "publish": "failure"}, walk.end
    assert published_files(github) == {}
    assert not (github.place / "releases").exists()

    (github.place / "index-down").unlink()
    (github.place / "uploads-down").touch()
    walk = tagged(github, again=walk.run_id)
    assert walk.jobs == {"build": "success", "publish": "success", "attach": "failure"}, walk.end
    assert (github.place / "releases" / TAG / "draft").exists(), "nobody sees half a release"

    (github.place / "uploads-down").unlink()
    walk = tagged(github, again=walk.run_id)
    assert walk.jobs == {"build": "success", "publish": "success", "attach": "success"}, walk.end
    built = digests(walk.artifacts / "library/dist")
    assert built.keys() == {WHEEL, SDIST}
    assert published_files(github) == built
    release = github.place / "releases" / TAG
    assert digests(release) == built
    assert sorted(walk.noted("attested")) == sorted(built.values())
    assert not (release / "draft").exists()
    assert DUTIES in (release / "notes.md").read_text()

    # It is the library that the template builds into projects.
    here = github.place / "here"
    words = ["uv", "build", "--quiet", "--wheel", "--out-dir", str(here), str(TEMPLATE)]
    subprocess.run(words, check=True)
    assert digests(here)[WHEEL] == built[WHEEL]
    with zipfile.ZipFile(release / WHEEL) as wheel:
        assert "gatewright/cli.py" in wheel.namelist() or "gatewright/cli/__init__.py" in (
            wheel.namelist()
        )


@pytest.mark.slow
def test_what_was_not_merged_or_does_not_agree_is_not_built(github: GitHubActions) -> None:
    walk = tagged(github, "v9.9.9")
    assert walk.jobs == {"build": "failure"}
    assert f"The tag is v9.9.9, but pyproject.toml has version {VERSION}." in walk.log
    github.project.git("commit", "--quiet", "--no-verify", "--allow-empty", "-m", "Not merged")
    walk = tagged(github)
    assert walk.jobs == {"build": "failure"}
    assert published_files(github) == {}
    assert not walk.artifacts.joinpath("library").exists()


CHANGELOG = f"# Changelog\n\n## 1.2.3\n\n- New.\n\n{DUTIES}\n\nNothing.\n\n## 1.2.2\n\n- Old.\n"


def test_a_release_that_agrees_has_nothing_against_it() -> None:
    assert disagreements("v1.2.3", "1.2.3", "1.2.3", CHANGELOG) == []
    assert section(CHANGELOG, "1.2.3") == f"- New.\n\n{DUTIES}\n\nNothing."


@pytest.mark.parametrize(
    ("tag", "library", "template", "changelog", "reason"),
    [
        ("1.2.3", "1.2.3", "1.2.3", CHANGELOG, "no tag of a version"),
        ("v1.2.3; id", "1.2.3", "1.2.3", CHANGELOG, "no tag of a version"),
        ("v1.2.4", "1.2.3", "1.2.3", CHANGELOG, "but pyproject.toml has version 1.2.3"),
        ("v1.2.3", "1.2.3", "1.2.2", CHANGELOG, "cookiecutter.json asks for 1.2.2"),
        ("v1.2.4", "1.2.4", "1.2.4", CHANGELOG, "no heading '## 1.2.4'"),
        ("v1.2.2", "1.2.2", "1.2.2", CHANGELOG, "does not say below"),
    ],
)
def test_each_disagreement_is_told(
    tag: str, library: str, template: str, changelog: str, reason: str
) -> None:
    assert any(reason in told for told in disagreements(tag, library, template, changelog))


def test_this_very_template_could_be_released() -> None:
    words = [sys.executable, "scripts/check_release.py", TAG]
    done = subprocess.run(words, cwd=TEMPLATE, capture_output=True, text=True)
    assert (done.returncode, done.stdout) == (0, f"{TAG} is gatewright {VERSION}.\n"), done.stderr


def test_every_version_says_what_a_project_has_to_do() -> None:
    text = (TEMPLATE / "CHANGELOG.md").read_text(encoding="utf-8")
    versions = [line.removeprefix("## ") for line in text.splitlines() if line.startswith("## ")]
    assert versions[0] == VERSION
    for version in versions:
        assert (section(text, version) or "").partition(DUTIES)[2].strip(), version
