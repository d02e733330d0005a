"""Reading the registry: status, history, bom."""

from __future__ import annotations

import json

from gatewright.cli.parser import Arguments, Parser


def add_to(parser: Parser) -> None:
    parser.command("status", _status, "what is live in each environment", reads=True)
    history = parser.command(
        "history", _history, "every event, or what was live on a day", reads=True
    )
    history.add_argument("env", nargs="?")
    history.add_argument("--at", metavar="DATE", help="what was live then, e.g. 2026-03-31 (UTC)")
    bom = parser.command(
        "bom", _bom, "bill of materials (CycloneDX): of the locked packages, or a version"
    )
    bom.add_argument("version", nargs="?")


def _status(arguments: Arguments) -> None:
    from gatewright.release import queries

    queries.status(arguments.root, arguments.json)


def _history(arguments: Arguments) -> None:
    from gatewright.release import queries

    queries.history(arguments.root, arguments.env, arguments.at, arguments.json)


def _bom(arguments: Arguments) -> None:
    from gatewright.registry.sbom import environment_bom, version_bom

    root, version = arguments.root, arguments.version
    bom = version_bom(root, version) if version else environment_bom(root)
    print(json.dumps(bom, indent=2, ensure_ascii=False))
