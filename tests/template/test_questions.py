"""Any answer at all: what the hooks accept becomes data, what they refuse leaves nothing.

A generated file with hostile answers must have the very structure that it has with plain ones:
the same syntax tree, keys and markup, with other text in it.
"""

from __future__ import annotations

import ast
import json
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException
from hypothesis import HealthCheck, Phase, event, example, given, settings
from hypothesis import strategies as st
from markdown_it import MarkdownIt
from projects import bake

pytestmark = pytest.mark.slow
PLAIN: dict[str, Any] = {
    "project_name": "Plain",
    "description": "Plain words",
    "author_name": "Plain",
    "project_slug": "plain",
    "package_name": "plain_model",
    "author_email": "plain@example.com",
    "github_owner": "plain",
}
ORGANISATION = {"owner_kind": "organisation", "github_owner": "octo-org"}
TEAMS = {f"{r}_owners": f"@octo-org/{r}" for r in ("data", "model", "platform", "release")}
TEXTS = ("project_name", "description", "author_name")
NASTY = "\"'\\`$(){}[]<>|&;#!%@*_~:-+=?,./ \t\n\r\x00\x1b\u2028\u202e\u200d\ufeffx1é航\U0001f6eb"
CODE = [
    '"""\nimport os; os.system("touch mark")\n"""',
    "'''+open('mark','w')+'''",
    "$(touch mark)`touch mark`",
    '"\n[tool.evil]\nx = "',
    "x\n  - run: touch mark",
    "$((1)) ${x} {0} {x!r} %(x)s",
    "<script>mark</script> [a](javascript:mark) ![i](http://x) @acme/all",
    "yes # !!python/object/apply:os.system ['touch mark']",
    "-" * 3,
    "1. one",
    "2) two",
    "+ plus",
    "===",
    "\\",
]


def unrendered(text: str) -> bool:
    """cookiecutter renders what a program passes in, and not what a person types."""
    return not any(sign in text for sign in ("{{", "{%", "{#"))


text = st.one_of(
    st.text(alphabet=NASTY, min_size=1, max_size=40),
    st.text(min_size=1, max_size=30),
    st.sampled_from(CODE),
).filter(unrendered)
tidy = text.map(lambda word: "".join(filter(str.isprintable, word)).strip() or "x")
name = st.one_of(st.from_regex(r"[a-z][a-z0-9_-]{0,12}", fullmatch=True), text)
package = st.sampled_from(["other_model_2", "a b", "../x", "x;y", "a'b", "lambda", "numpy", "é"])
answers = st.fixed_dictionaries(
    dict.fromkeys(TEXTS, text),
    optional=dict.fromkeys(("project_slug", "author_email", "github_owner"), name)
    | {"package_name": package},
)


def structure(path: Path) -> Any:
    """What a file is, whatever its texts say."""
    content = path.read_text(encoding="utf-8")
    if path.suffix == ".py":
        tree = ast.parse(re.sub(r"\b(plain_model|other_model_2)\b", "package", content))
        for node in ast.walk(tree):
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                node.value = ""
        return ast.dump(tree)
    readers: dict[str, Callable[[str], Any]] = {
        ".toml": tomllib.loads,
        ".yaml": yaml.safe_load,
        ".yml": yaml.safe_load,
        ".json": json.loads,
    }
    if path.suffix in readers:
        return shape(readers[path.suffix](content))
    if path.suffix == ".md":
        return [
            (token.type, sorted({child.type for child in token.children or ()} - WORDS))
            for token in MarkdownIt().enable("table").parse(content)
        ]
    return len(content.splitlines())


class Plain(dict[str, Any]):
    """What the files are with plain answers; short where a failure shows it."""

    def __repr__(self) -> str:
        return f"{len(self)} files"


WORDS = {"text", "text_special", "softbreak"}


def shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: shape(item) for key, item in value.items()}
    if isinstance(value, list):
        return [shape(item) for item in value]
    return "" if isinstance(value, str) else value


def files(root: Path) -> dict[str, Path]:
    """What Git keeps, with the package's name left out; data is not text."""
    words = ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"]
    kept = subprocess.run(words, cwd=root, capture_output=True, text=True, check=True).stdout
    (package,) = [path.name for path in (root / "src").iterdir()]
    return {
        name.replace(f"src/{package}/", "src/PACKAGE/"): root / name
        for name in kept.split("\0")
        if name and not name.endswith((".parquet", ".whl"))
    }


def without_network(patch: pytest.MonkeyPatch, folder: Path) -> None:
    """A project is whole without it, and made in a second."""
    patch.setenv("UV_OFFLINE", "1")
    patch.setenv("UV_CACHE_DIR", str(folder / "empty"))


@pytest.fixture(scope="module")
def plain(tmp_path_factory: pytest.TempPathFactory) -> Plain:
    with pytest.MonkeyPatch.context() as patch:
        without_network(patch, tmp_path_factory.mktemp("cache"))
        root = bake(tmp_path_factory.mktemp("plain"), **PLAIN)
    return Plain({name: (path.read_bytes(), structure(path)) for name, path in files(root).items()})


@settings(
    max_examples=30,
    phases=[Phase.explicit, Phase.generate],  # to make it smaller takes minutes
    deadline=None,
    derandomize=True,
    database=None,
    suppress_health_check=[HealthCheck.too_slow],
)
@given(given_answers=answers)
@example(given_answers=dict.fromkeys(TEXTS, CODE[2]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[5]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[6]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[7]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[8]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[9]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[10]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[11]))
@example(given_answers=dict.fromkeys(TEXTS, CODE[12]))
@example(given_answers=ORGANISATION)
@example(given_answers=ORGANISATION | TEAMS)
def test_what_is_accepted_is_data_and_what_is_refused_leaves_nothing(
    plain: Plain, given_answers: dict[str, str]
) -> None:
    with (
        TemporaryDirectory() as made,
        TemporaryDirectory() as cache,
        pytest.MonkeyPatch.context() as patch,
    ):
        out = Path(made) / "out"
        without_network(patch, Path(cache))
        try:
            root = bake(out, **PLAIN | given_answers)
        except (FailedHookException, ValueError):  # NUL in a name: no folder is made
            event("refused")
            assert list(Path(made).rglob("*")) == [out]
            return
        event("accepted")
        found = files(root)
        assert found.keys() == plain.keys()
        for name, path in found.items():
            content, wanted = plain[name]
            assert path.read_bytes() == content or structure(path) == wanted, name
        assert not list(Path(made).rglob("mark"))
        ruff = [sys.executable, "-m", "ruff", "check", "--quiet", "--no-cache", "src", "tests"]
        done = subprocess.run(ruff, cwd=root, capture_output=True, text=True)
        assert done.returncode == 0, done.stdout
