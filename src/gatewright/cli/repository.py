"""The repository: scan, doctor, github, explain."""

from __future__ import annotations

import json

from gatewright.cli.parser import Arguments, Parser
from gatewright.errors import Refused


def add_to(parser: Parser) -> None:
    scan = parser.command(
        "scan", _scan, "look for risks and secrets; what cannot be scanned is a no", reads=True
    )
    scan.add_argument("what", choices=["code", "packages", "secrets", "workflows", "data"])
    scan.add_argument("--history", action="store_true", help="secrets: all that Git ever held")
    scan.add_argument("--live", metavar="ENV", help="packages: of the version live there")
    parser.command(
        "doctor", _doctor, "what protects this repository, here and on GitHub", reads=True
    )
    github = parser.command(
        "github", _github, "bring GitHub's settings to what .github holds", reads=True
    )
    github.add_argument("what", choices=["apply"])
    github.add_argument("--yes", action="store_true", help="change them; without it, only tell")
    github.add_argument(
        "--organisation", action="store_true", help="the organisation's required workflow instead"
    )
    explain = parser.command("explain", _explain, "the page of a check, or of another topic")
    explain.add_argument("topic", nargs="?", help="default: what there is")


def _scan(arguments: Arguments) -> int:
    from gatewright.security.scan import scan

    report = scan(arguments.root, arguments.what, arguments.history, arguments.live)
    print(report.to_json() if arguments.json else report.to_text(), end="")
    return report.status


def _doctor(arguments: Arguments) -> int:
    from dataclasses import asdict

    from gatewright.adapters.console import print_table
    from gatewright.release.workspace import Workspace
    from gatewright.repo_settings.audit import examine

    rows = examine(Workspace(arguments.root))
    bad = [row for row in rows if row.state == "bad"]
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        states = {"bad": "BAD"}
        print_table([(states.get(r.state, r.state), r.subject, r.words) for r in rows])
        print(
            f"{len(bad)} of {len(rows)} things do not protect. `mlops github apply` mends most."
            if bad
            else "Everything that was asked for protects."
        )
    return 1 if bad else 0


def _github(arguments: Arguments) -> int:
    from gatewright.adapters.console import print_table
    from gatewright.adapters.github import GitHub
    from gatewright.repo_settings.reconcile import apply, organisation, plan

    github = GitHub.of(arguments.root)
    if github is None:
        raise Refused("origin is no GitHub repository. `git remote add origin URL`, then again.")
    steps = (organisation if arguments.organisation else plan)(arguments.root, github)
    if not arguments.yes:
        answer = {"would change": [step.words for step in steps]}
        after = "Nothing was changed. To change it: `uv run mlops github apply --yes`."
    else:
        result = apply(steps)
        answer = {"changed": list(result.done), "could not": list(result.failed)}
        after = "`uv run mlops doctor` says what protects the repository now."
    if arguments.json:
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    elif not steps:
        print(f"{github.slug} has the settings that .github holds already.")
    else:
        print_table([(how, words) for how, listed in answer.items() for words in listed])
        print(after)
    return 1 if answer.get("could not") else 0


def _explain(arguments: Arguments) -> None:
    from gatewright.adapters.console import print_table
    from gatewright.pages import read_page, topics

    if arguments.topic is None:
        print_table(topics())
    else:
        print(read_page(arguments.topic), end="")
