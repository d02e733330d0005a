"""What may be answered, what is refused, and that text comes out as it was typed."""

import json
import os
import shutil
import subprocess
import sys
import tomllib
from pathlib import Path
from typing import Any

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


ROLES = ("data", "model", "platform", "release")
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
    "reviewer without an at sign": ({"data_owners": "ada"}, "data_owners 'ada'"),
    "reviewer by e-mail": ({"model_owners": "ada@example.com"}, "model_owners 'ada@example.com'"),
    "two reviewers": ({"platform_owners": "@ada @eve"}, "platform_owners '@ada @eve'"),
    "reviewer on two lines": ({"release_owners": "@ada\n* @eve"}, "release_owners '@ada"),
    "team without an organisation": ({"release_owners": "@/team"}, "release_owners '@/team'"),
    **{
        f"bare organisation as {role}": (
            {"github_owner": "octo-org", "owner_kind": "organisation"}
            | {f"{other}_owners": f"@octo-org/{other}" for other in ROLES if other != role},
            f"{role}_owners '@octo-org' is an organisation, and GitHub asks an organisation for no "
            f"review, without an error: write a team of it like '@octo-org/{role}'",
        )
        for role in ROLES
    },
    "bare organisation in other letters": (
        {"github_owner": "octo-org", "owner_kind": "organisation"}
        | {f"{role}_owners": f"@octo-org/{role}" for role in ROLES}
        | {"data_owners": "@Octo-Org"},
        "data_owners '@Octo-Org' is an organisation",
    ),
    "empty name": ({"project_name": " ", "project_slug": "late"}, "project_name"),
    "a table without a target": ({"data_file": "rows.csv"}, "target is not: name both"),
    "a target without a table": ({"target": "late"}, "data_file is not: name both"),
    "a table that is not there": ({"data_file": "no.csv", "target": "x"}, "'no.csv' is not there"),
    "control character": ({"description": "late\x07"}, "U+0007"),
    "text that runs backwards": ({"description": "late \u202e etal"}, "U+202E"),
}


@pytest.mark.parametrize(("answers", "reason"), REFUSED.values(), ids=REFUSED.keys())
def test_impossible_answers_are_refused_in_one_sentence(
    answers: dict[str, Any], reason: str, tmp_path: Path, capfd: pytest.CaptureFixture[str]
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


OWNED = {  # a path of each room, by whom it is asked for
    "data_owners": {"/contract.yaml", "/data/", "/dvc.yaml"},
    "model_owners": {"*", "/src/late_flights/", "/params.yaml", "/docs/model-card-words.md"},
    "platform_owners": {
        *("/vendor/", "/.github/", "/.pre-commit-config.yaml", "/pyproject.toml", "/uv.lock"),
    },
    "release_owners": {"/gates.yaml", "/security/", "/model-types.txt", "/.github/CODEOWNERS"},
}


def owners(root: Path) -> dict[str, str]:
    """Each path of CODEOWNERS with its owner."""
    lines = (root / ".github/CODEOWNERS").read_text(encoding="utf-8").splitlines()
    return dict(line.split() for line in lines if line and not line.startswith("#"))


@pytest.mark.parametrize(
    "named",
    [{n for n, bit in zip(OWNED, f"{i:04b}", strict=True) if bit == "1"} for i in range(16)],
    ids=lambda named: ", ".join(sorted(named)) or "nobody",
)
def test_every_room_has_the_owner_that_was_named(named: set[str], tmp_path: Path) -> None:
    teams = {role: f"@octo-org/{role.removesuffix('_owners')}" for role in named}
    root = bake(tmp_path, hooks=False, github_owner="octo-org", **teams)
    expected = {path: teams.get(role, "@octo-org") for role in OWNED for path in OWNED[role]}
    assert owners(root) == expected
    for path in owners(root):
        made_later = path in ("/vendor/", "/uv.lock")
        assert made_later or path == "*" or (root / path.strip("/")).exists(), path


@pytest.mark.parametrize("reviewer", ["@ada", "@Ada-2", "@octo-org/data_team-1"])
def test_a_user_or_a_team_may_review(reviewer: str, tmp_path: Path) -> None:
    done = typed(tmp_path / "out", data_owners=reviewer)
    assert done.returncode == 0, done.stderr
    assert owners(tmp_path / "out/late-flights")["/data/"] == reviewer


def test_an_organisation_is_enough_for_no_role_and_its_teams_are(tmp_path: Path) -> None:
    owner = {"github_owner": "octo-org", "owner_kind": "2"}  # by its number in the list
    done = typed(tmp_path / "bare", **owner)
    assert done.returncode != 0
    for role in ROLES:
        assert f"write a team of it like '@octo-org/{role}'" in done.stderr
    assert list((tmp_path / "bare").iterdir()) == []
    teams = {f"{role}_owners": f"@octo-org/{role}" for role in ROLES} | {"data_owners": "@ada"}
    done = typed(tmp_path / "teams", **owner, **teams)
    assert done.returncode == 0, done.stderr
    assert set(owners(tmp_path / "teams/late-flights").values()) == set(teams.values())


def test_every_question_has_a_sentence() -> None:
    questions = {name for name in ANSWERS if not name.startswith("_")}
    assert set(ANSWERS["__prompts__"]) == questions
