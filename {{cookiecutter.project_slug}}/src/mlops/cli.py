"""The commands. Each reads its words, calls one function and prints what came of it."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from mlops.errors import Misuse, Refused

ROOT = Path(".")


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 yes, 1 no, 2 could not decide, 64 wrong use."""
    arguments = _parser().parse_args(argv)
    try:
        _enter_project()
        return int(arguments.run(arguments) or 0)
    except Refused as error:
        if getattr(arguments, "json", False):
            print(json.dumps({"error": str(error), "status": error.status}, ensure_ascii=False))
        print(f"mlops {arguments.command}: {error}", file=sys.stderr)
        return error.status


class _Parser(argparse.ArgumentParser):
    def error(self, message: str) -> Any:
        self.print_usage(sys.stderr)
        self.exit(Misuse.status, f"{self.prog}: {message}\n")


def _parser() -> argparse.ArgumentParser:
    parser = _Parser(
        prog="mlops",
        description="Judge, register and promote the model of this project.",
        epilog="Exit status: 0 yes, 1 no, 2 could not decide (treat it as no), 64 wrong use.",
    )
    commands = parser.add_subparsers(dest="command", required=True, metavar="COMMAND")

    def add(name: str, run: Callable[[Any], int | None], words: str, reads: bool = False) -> Any:
        command = commands.add_parser(name, help=words, description=words)
        command.set_defaults(run=run)
        if reads:
            command.add_argument("--json", action="store_true", help="print JSON for machines")
        return command

    add("setup", _storage, "get this clone ready: storage, data, hooks")
    run = add("run", _run, "run the pipeline: check, split, train, evaluate, card")
    run.add_argument("stage", nargs="*", help="only up to this stage")
    add("push", _storage, "store data and models, so that other clones have them")
    gate = add("gate", _gate, "judge the model in the work tree", reads=True)
    gate.add_argument("--env", default="dev", help="whose policy and champion (default: dev)")
    add("register", _release, "make the committed model a version", reads=True)
    promote = add("promote", _release, "let a version into an environment", reads=True)
    promote.add_argument("version")
    promote.add_argument("--to", required=True, metavar="ENV")
    rollback = add("rollback", _release, "bring back the version before", reads=True)
    rollback.add_argument("env")
    rollback.add_argument("--to", metavar="VERSION", help="an earlier one than the last")
    rollback.add_argument("--reason")
    retire = add("retire", _release, "say that a version may not be promoted any more", reads=True)
    retire.add_argument("version")
    retire.add_argument("--reason", required=True)
    add("status", _view, "what is live in each environment", reads=True)
    history = add("history", _view, "every event, or what was live on a day", reads=True)
    history.add_argument("env", nargs="?")
    history.add_argument("--at", metavar="DATE", help="what was live then, e.g. 2026-03-31 (UTC)")
    move = add("move-storage", _storage, "move data and models to another DVC remote")
    move.add_argument("url", help="s3://bucket/path, gs://, azure://, ssh:// or a folder")
    for stage, words in (
        ("check", "pipeline: does the raw data keep the contract?"),
        ("evaluate", "pipeline: score the test rows"),
        ("card", "pipeline: write the model card"),
    ):
        add(stage, _stage, words)
    seal = add("seal", _seal, "pipeline: make skops files byte-stable")
    seal.add_argument("path", nargs="+", type=Path)
    return parser


def _enter_project() -> None:
    """Work in the project's root, wherever in it the command was called."""
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "contract.yaml").exists():
            os.chdir(folder)
            return
    raise Misuse(f"{here} is not inside a project: no contract.yaml in it or above it.")


def _storage(arguments: Any) -> None:
    from mlops.artefacts.storage import Storage
    from mlops.gate.policy import environments

    storage = Storage(ROOT)
    with storage.git.alone():
        {
            "setup": lambda: storage.set_up(),
            "push": lambda: storage.push(),
            "move-storage": lambda: storage.move(arguments.url, environments(ROOT)),
        }[arguments.command]()


def _run(arguments: Any) -> int:
    from mlops.artefacts.storage import reproduce

    return reproduce(ROOT, *arguments.stage)


def _stage(arguments: Any) -> None:
    from importlib import import_module

    module = "data" if arguments.command == "check" else arguments.command
    getattr(import_module(f"mlops.measure.{module}"), arguments.command)(ROOT)


def _seal(arguments: Any) -> None:
    from mlops.artefacts.model import seal

    for path in arguments.path:
        seal(path)


def _gate(arguments: Any) -> int:
    from mlops.gate import report
    from mlops.release.promotion import Release

    verdict = Release(ROOT).gate(arguments.env)
    report.write(verdict, ROOT / "reports")
    if arguments.json:
        print(report.to_json(verdict), end="")
    else:
        report.show(verdict)
    return verdict.status


def _release(arguments: Any) -> int:
    from mlops.gate import report
    from mlops.release.promotion import Release

    release, a = Release(ROOT), arguments
    outcome = {
        "register": lambda: release.register(),
        "promote": lambda: release.promote(a.version, a.to),
        "rollback": lambda: release.roll_back(a.env, a.to, a.reason),
        "retire": lambda: release.retire(a.version, a.reason),
    }[a.command]()
    verdict = outcome.verdict
    if a.json:
        answer = {
            "version": outcome.version,
            "changed": outcome.changed,
            "message": outcome.message,
            "verdict": json.loads(report.to_json(verdict)) if verdict else None,
        }
        print(json.dumps(answer, indent=2, ensure_ascii=False))
    else:
        if verdict and verdict.status:
            report.show(verdict)
        print(outcome.message)
    return verdict.status if verdict else 0


def _view(arguments: Any) -> None:
    from mlops.release import views

    if arguments.command == "status":
        views.status(ROOT, arguments.json)
    else:
        views.history(ROOT, arguments.env, arguments.at, arguments.json)
