"""What may be answered, what is refused, and that text comes out as it was typed."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path

import pytest
import yaml
from cookiecutter.exceptions import FailedHookException
from projects import TEMPLATE, bake

ANSWERS = json.loads((TEMPLATE / "cookiecutter.json").read_text(encoding="utf-8"))
HOSTILE = {
    "quotes": """The "late" ones, 'so' to say""",
    "yaml": "Late: yes # or - no, {a: b}, [c], !d, &e, *f, %g, @h, ? |",
    "jinja": "{{ cookiecutter.project_slug }} {% raw %} {# no #}",
    "backslashes": r"C:\new\table \u0041 \" \\",
    "emoji": "Late \N{AIRPLANE} flights \N{FAMILY} \U0001f469\u200d\U0001f680",
    "non-latin": "Опоздания рейсов 航班延误 تأخر",
    "shell": "$(touch mark) `touch mark` ; rm -rf x && $HOME",
    "triple": "'''; import os; os.system('touch mark') '''" + '"""',
    "markdown": "*late* _flights_ <b>bold</b> [a](b) ![c](d) # e | f ~g~ &amp; :plane:",
}


def typed(folder: Path, **answers: str) -> subprocess.CompletedProcess[str]:
    """Generate by typing the answers, as a person does; hooks off but for the first."""
    questions = [name for name in ANSWERS if not name.startswith("_")]
    lines = "".join(answers.get(name, "") + "\n" for name in questions)
    folder.mkdir(exist_ok=True)
    return subprocess.run(
        [sys.executable, "-m", "cookiecutter", str(TEMPLATE), "--output-dir", str(folder)],
        input=lines,
        capture_output=True,
        text=True,
        env={
            "PATH": os.pathsep.join([str(Path(shutil.which("uv") or "").parent), "/usr/bin:/bin"]),
            "HOME": str(folder.parent),
            "LC_ALL": "C.UTF-8",
            "UV_OFFLINE": "1",  # nothing is installed
        },
    )


@pytest.mark.parametrize("text", HOSTILE.values(), ids=HOSTILE.keys())
def test_any_text_comes_out_as_it_was_typed(text: str, tmp_path: Path) -> None:
    answers = {"project_name": text, "project_slug": "flights", "package_name": "late_flights"}
    done = typed(tmp_path / "out", **answers, description=text, author_name=text)
    assert done.returncode == 0, done.stderr
    root = tmp_path / "out" / "flights"

    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["description"] == text
    assert project["authors"][0]["name"] == text
    contract = yaml.safe_load((root / "contract.yaml").read_text(encoding="utf-8"))
    assert (contract["name"], contract["description"]) == (text, text)
    title, _, description = (root / "README.md").read_text(encoding="utf-8").split("\n")[:3]
    assert [shown(title.removeprefix("# ")), shown(description)] == [text, text]
    assert text in (root / "LICENSE").read_text(encoding="utf-8")
    for path in root.rglob("*.py"):
        compile(path.read_text(encoding="utf-8"), str(path), "exec")
    for path in root.glob("*.yaml"):
        yaml.safe_load(path.read_text(encoding="utf-8"))
    assert not list(tmp_path.rglob("mark")), "a text was executed"


def shown(markdown: str) -> str:
    """What a CommonMark renderer shows for one line of escaped text without markup."""
    from markdown_it import MarkdownIt

    (block,) = [t for t in MarkdownIt().parse(markdown) if t.type == "inline"]
    assert {child.type for child in block.children or []} <= {"text", "text_special"}
    return "".join(child.content for child in block.children or [])


def test_a_name_without_a_letter_still_has_a_folder(tmp_path: Path) -> None:
    assert bake(tmp_path, hooks=False, project_name="\N{AIRPLANE}!").name == "my-project"


REFUSED = {
    "slug with capitals": ({"project_slug": "Late-Flights"}, "single hyphens"),
    "slug that climbs out": ({"project_slug": "../late"}, "single hyphens"),
    "package with a hyphen": ({"package_name": "late-flights"}, "cannot be imported"),
    "package that is a digit": ({"package_name": "2013_flights"}, "cannot be imported"),
    "package that is a keyword": ({"package_name": "lambda"}, "a word of Python"),
    "package that is a soft keyword": ({"package_name": "match"}, "a word of Python"),
    "package of the standard library": ({"package_name": "statistics"}, "would shadow"),
    "package that the project installs": ({"package_name": "sklearn"}, "would shadow"),
    "package installed here": ({"package_name": "cookiecutter"}, "would shadow"),
    "package of the library": ({"package_name": "gatewright"}, "would shadow"),
    "no e-mail": ({"author_email": "nobody"}, "no e-mail address"),
    "e-mail with a quote": ({"author_email": 'a"b@example.com'}, "no e-mail address"),
    "owner with a space": ({"github_owner": "my org"}, "no name of a GitHub user"),
    "empty name": ({"project_name": " ", "project_slug": "late"}, "project_name"),
    "control character": ({"description": "late\x07"}, "U+0007"),
    "text that runs backwards": ({"description": "late \u202e etal"}, "U+202E"),
}


@pytest.mark.parametrize(("answers", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_impossible_answers_are_refused_in_one_sentence(
    answers: dict[str, str], reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    with pytest.raises(FailedHookException):
        bake(tmp_path / "out", **answers)
    said = [line for line in capfd.readouterr().err.splitlines() if reason in line]
    assert len(said) == 1
    assert said[0].endswith(".")
    assert list(tmp_path.rglob("*")) == [tmp_path / "out"], "something was left behind"


@pytest.mark.parametrize("licence", ANSWERS["license"])
@pytest.mark.parametrize("python", ANSWERS["python_version"])
def test_every_licence_and_python_is_baked(licence: str, python: str, tmp_path: Path) -> None:
    root = bake(tmp_path, hooks=False, license=licence, python_version=python)
    project = tomllib.loads((root / "pyproject.toml").read_text(encoding="utf-8"))["project"]
    assert project["requires-python"] == f">={python}"
    first = {
        "MIT": "MIT License",
        "Apache-2.0": "Apache License",
        "BSD-3-Clause": "BSD 3-Clause License",
        "Proprietary": "All rights reserved",
    }
    text = (root / "LICENSE").read_text(encoding="utf-8")
    assert first[licence] in text[:200]
    assert ("Licence: " in (root / "README.md").read_text()) == (licence != "Proprietary")
    assert project["license"] == ("LicenseRef-Proprietary" if licence == "Proprietary" else licence)


def test_every_question_has_a_sentence() -> None:
    questions = {name for name in ANSWERS if not name.startswith("_")}
    assert set(ANSWERS["__prompts__"]) == questions
