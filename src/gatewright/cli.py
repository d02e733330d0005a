"""The commands. Each reads its words, calls one function and prints what came of it."""

import argparse
import json
import os
import sys
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from gatewright.adapters.console import spoken
from gatewright.errors import Misuse, Refused

ROOT = Path(".")
SOURCE = "src"  # the team's code, which is not installed


def main(argv: Sequence[str] | None = None) -> int:
    """Run one command. Exit status: 0 yes, 1 no, 2 could not decide, 64 wrong use."""
    arguments = _parser().parse_args(argv)
    arguments.where = Path.cwd()  # paths are meant from where the command was called
    as_json = getattr(arguments, "json", False)
    with spoken(exact=as_json or arguments.command == "bom"):
        try:
            if arguments.command != "explain":
                _enter_project()
            return int(arguments.run(arguments) or 0)
        except Refused as error:
            if as_json:
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
    new = add("ingest", _ingest, "bring new data into data/raw, less what is dropped on arrival")
    new.add_argument("file", nargs="+", type=Path, help="a Parquet file that keeps the contract")
    add("push", _storage, "store data and models, so that other clones have them")
    gate = add("gate", _gate, "judge the model in the work tree", reads=True)
    gate.add_argument("--env", default="dev", help="whose policy and champion (default: dev)")
    gate.add_argument("--explain", action="store_true", help="each question, number and bound")
    rules = add("policy", _policy, "choose thresholds: from history, or from what is live", True)
    rules.add_argument("what", choices=["test", "propose"])
    rules.add_argument("--env", default="dev", help="whose policy (default: dev)")
    prove = add("prove", _prove, "is dvc.lock honest? with --base, builds what is not stored")
    prove.add_argument("--base", metavar="REVISION", help="the branch that it wants to enter")
    prove.add_argument("--out", type=Path, default=Path("proof"), help="folder for what is found")
    review = add("review", _review, "judge another checkout by this one's rules", reads=True)
    review.add_argument("candidate", type=Path, help="the checkout that is judged")
    review.add_argument("--proof", type=Path, required=True, help="what `mlops prove` found")
    register = add("register", _release, "make the committed model a version", reads=True)
    register.add_argument("--build", action="store_true", help="get or build its outputs first")
    promote = add("promote", _release, "let a version into an environment", reads=True)
    promote.add_argument("version")
    promote.add_argument("--to", required=True, metavar="ENV")
    promote.add_argument(
        "--propose", action="store_true", help="open a pull request where nobody approved"
    )
    rollback = add("rollback", _release, "bring back the version before", reads=True)
    rollback.add_argument("env")
    rollback.add_argument("--to", metavar="VERSION", help="an earlier one than the last")
    rollback.add_argument("--reason")
    rehearse = add("drill", _drill, "rehearse a rollback in a scratch clone, and time it", True)
    rehearse.add_argument("env", nargs="?", help="default: the last environment")
    smoke = add("smoke", _smoke, "does what is live answer as it did when it was registered?")
    smoke.add_argument("env")
    smoke.add_argument("--roll-back", action="store_true", help="go back if it does not")
    retire = add("retire", _release, "say that a version may not be promoted any more", reads=True)
    retire.add_argument("version")
    retire.add_argument("--reason", required=True)
    publish = add("publish", _publish, "show on GitHub what is live: release, deployment")
    publish.add_argument("env")
    comment = add("comment", _comment, "write the gate's report under its pull request")
    comment.add_argument("report", type=Path)
    add("deliver", _deliver, "commit what was trained to its branch and start the checks")
    scan = add("scan", _scan, "look for risks and secrets; what cannot be scanned is a no", True)
    scan.add_argument("what", choices=["code", "packages", "secrets", "workflows"])
    scan.add_argument("--history", action="store_true", help="secrets: all that Git ever held")
    scan.add_argument("--live", metavar="ENV", help="packages: of the version live there")
    bom = add("bom", _bom, "bill of materials (CycloneDX): of the locked packages, or a version")
    bom.add_argument("version", nargs="?")
    add("status", _view, "what is live in each environment", reads=True)
    history = add("history", _view, "every event, or what was live on a day", reads=True)
    history.add_argument("env", nargs="?")
    history.add_argument("--at", metavar="DATE", help="what was live then, e.g. 2026-03-31 (UTC)")
    explain = add("explain", _explain, "the page of a check, or of another topic")
    explain.add_argument("topic", nargs="?", help="default: what there is")
    add("doctor", _doctor, "what protects this repository, here and on GitHub", reads=True)
    github = add("github", _github, "bring GitHub's settings to what .github holds", reads=True)
    github.add_argument("what", choices=["apply"])
    github.add_argument("--yes", action="store_true", help="change them; without it, only tell")
    move = add("move-storage", _storage, "move data and models to another DVC remote")
    move.add_argument("url", help="s3://bucket/path, gs://, azure://, ssh:// or a folder")
    own = add("stage", _own_stage, "pipeline: run a module of src/")
    own.add_argument("module", help="as it is imported, like package.train")
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
    for name in ("GIT_DIR", "GIT_WORK_TREE", "GIT_INDEX_FILE", "GIT_PREFIX"):
        os.environ.pop(name, None)  # a hook of Git hands on what is not meant for us
    here = Path.cwd()
    for folder in (here, *here.parents):
        if (folder / "contract.yaml").exists():
            os.chdir(folder)
            sys.path.append(str(folder / SOURCE))  # a team's own metrics
            return
    raise Misuse(f"{here} is not inside a project: no contract.yaml in it or above it.")


def _storage(arguments: Any) -> None:
    from gatewright.adapters.dvc import Storage
    from gatewright.gate.policy import environments

    storage = Storage(ROOT)
    with storage.git.alone():
        {
            "setup": lambda: storage.set_up(),
            "push": lambda: storage.push(),
            "move-storage": lambda: storage.move(arguments.url, environments(ROOT)),
        }[arguments.command]()


def _run(arguments: Any) -> None:
    from gatewright.adapters.dvc import reproduce

    reproduce(ROOT, *arguments.stage)


def _ingest(arguments: Any) -> None:
    from gatewright.pipeline.ingest import ingest

    print(ingest(ROOT, [arguments.where / file for file in arguments.file]))


def _stage(arguments: Any) -> None:
    from importlib import import_module

    modules = {"check": "data_check", "evaluate": "evaluate", "card": "model_card"}
    module = import_module(f"gatewright.pipeline.{modules[arguments.command]}")
    getattr(module, arguments.command)(ROOT)


def _own_stage(arguments: Any) -> None:
    import runpy

    sys.path[0] = str(Path.cwd() / SOURCE)  # where this command lies has nothing to import
    runpy.run_module(arguments.module, run_name="__main__", alter_sys=True)


def _seal(arguments: Any) -> None:
    from gatewright.adapters.model_file import seal

    for path in arguments.path:
        seal(path)


def _gate(arguments: Any) -> int:
    from gatewright.release.promotion import Release

    return _told(Release(ROOT).gate(arguments.env), arguments)


def _policy(arguments: Any) -> int:
    from gatewright.release import backtest

    choose = backtest.propose if arguments.what == "propose" else backtest.replay
    print(choose(ROOT, arguments.env, arguments.json), end="")
    return 0


def _told(verdict: Any, arguments: Any) -> int:
    from gatewright.gate import report

    report.write(verdict, ROOT / "reports")
    if arguments.json:
        print(report.to_json(verdict), end="")
    elif getattr(arguments, "explain", False):
        report.explain(verdict)
    else:
        report.show(verdict)
    return int(verdict.status)


def _prove(arguments: Any) -> int:
    from gatewright.gate.policy import environments
    from gatewright.pipeline.lock_verification import disagreements, prove

    if arguments.base is None:
        if wrong := disagreements(ROOT):
            raise Refused(
                f"dvc.lock is not honest: {'; '.join(wrong)}. Run `uv run mlops run` and commit it."
            )
        print("Yes: dvc.lock agrees with what is here.")
        return 0
    out = arguments.where / arguments.out
    proof = prove(ROOT, arguments.base, environments(ROOT)[0], out)
    if not proof.model_touched:
        print("Yes: nothing that a model is made from changes.")
    elif proof.honest:
        print("Yes: code, parameters, data and dvc.lock agree, and the outputs are there.")
    else:
        wrong = [*proof.unwatched, *proof.stale, *proof.differences]
        print(f"No: dvc.lock is not honest: {'; '.join(wrong)}.")
    if not proof.honest and not proof.unwatched:
        print(f"The mended one is {arguments.out / 'dvc.lock'}: commit it and push again.")
    return 0 if proof.honest else 1


def _review(arguments: Any) -> int:
    from gatewright.gate.review import review

    candidate, proof = (arguments.where / path for path in (arguments.candidate, arguments.proof))
    return _told(review(ROOT, candidate, proof), arguments)


def _smoke(arguments: Any) -> None:
    from gatewright.release.promotion import Release

    print(Release(ROOT).smoke(arguments.env, arguments.roll_back))


def _drill(arguments: Any) -> None:
    from dataclasses import asdict

    from gatewright.gate.policy import environments
    from gatewright.release.drill import drill

    done = drill(ROOT, arguments.env or environments(ROOT)[-1])
    if arguments.json:
        print(json.dumps(asdict(done), indent=2))
        return
    _rows([(words, f"{taken:5.1f} s") for words, taken in done.seconds.items()])
    print(done.sentence)


def _bom(arguments: Any) -> None:
    from gatewright.registry.sbom import environment_bom, version_bom

    version = arguments.version
    bom = version_bom(ROOT, version) if version else environment_bom(ROOT)
    print(json.dumps(bom, indent=2, ensure_ascii=False))


def _release(arguments: Any) -> int:
    from gatewright.gate import report
    from gatewright.release.promotion import Release

    release, a = Release(ROOT), arguments
    outcome = {
        "register": lambda: release.register(a.build),
        "promote": lambda: release.promote(a.version, a.to, a.propose),
        "rollback": lambda: release.roll_back(a.env, a.to or None, a.reason),
        "retire": lambda: release.retire(a.version, a.reason),
    }[a.command]()
    verdict = outcome.verdict
    _output(a.command, outcome)
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


def _output(command: str, outcome: Any) -> None:
    """Tell a workflow what the next job needs to know.

    A version is released by the run that registered it; a run that is tried again goes on.
    """
    path = os.environ.get("GITHUB_OUTPUT")
    if not path or command not in ("register", "promote"):
        return
    refused = bool(outcome.verdict and outcome.verdict.status)
    again = os.environ.get("GITHUB_RUN_ATTEMPT", "1") != "1"
    version = outcome.version if not refused and (outcome.changed or again) else ""
    live = str(not refused and "is live in" in outcome.message).lower()
    said = f"version={version}\n" if command == "register" else f"live={live}\n"
    with open(path, "a", encoding="utf-8") as file:
        file.write(said)


def _scan(arguments: Any) -> int:
    from gatewright.security.scan import scan

    report = scan(ROOT, arguments.what, arguments.history, arguments.live)
    print(report.to_json() if arguments.json else report.to_text(), end="")
    return report.status


def _explain(arguments: Any) -> None:
    from gatewright.pages import read_page, topics

    if arguments.topic is None:
        _rows(topics())
    else:
        print(read_page(arguments.topic), end="")


def _doctor(arguments: Any) -> int:
    from dataclasses import asdict

    from gatewright.repo_settings.audit import examine

    rows = examine(ROOT)
    bad = [row for row in rows if row.state == "bad"]
    if arguments.json:
        print(json.dumps([asdict(row) for row in rows], indent=2, ensure_ascii=False))
    else:
        _rows(
            [
                (row.state.upper() if row in bad else row.state, row.subject, row.words)
                for row in rows
            ]
        )
        print(
            f"{len(bad)} of {len(rows)} things do not protect. `mlops github apply` mends most."
            if bad
            else "Everything that was asked for protects."
        )
    return 1 if bad else 0


def _github(arguments: Any) -> int:
    from gatewright.adapters.github import GitHub
    from gatewright.repo_settings.reconcile import apply, plan

    github = GitHub.of(ROOT)
    if github is None:
        raise Refused("origin is no GitHub repository. `git remote add origin URL`, then again.")
    steps = plan(ROOT, github)
    if not arguments.yes:
        told = {"would change": [step.words for step in steps]}
        after = "Nothing was changed. To change it: `uv run mlops github apply --yes`."
    else:
        result = apply(steps)
        told = {"changed": list(result.done), "could not": list(result.failed)}
        after = "`uv run mlops doctor` says what protects the repository now."
    if arguments.json:
        print(json.dumps(told, indent=2, ensure_ascii=False))
    elif not steps:
        print(f"{github.slug} has the settings that .github holds already.")
    else:
        _rows([(how, words) for how, listed in told.items() for words in listed])
        print(after)
    return 1 if told.get("could not") else 0


def _rows(rows: Sequence[tuple[str, ...]]) -> None:
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]) - 1)]
    for *first, last in rows:
        print("  ".join([*(c.ljust(w) for c, w in zip(first, widths, strict=True)), last]))


def _publish(arguments: Any) -> None:
    from gatewright.gate.policy import environments
    from gatewright.release.github_release import publish

    print(publish(ROOT, arguments.env, environments(ROOT)[-1]))


def _comment(arguments: Any) -> None:
    from gatewright.gate.pr_comment import comment

    print(comment(ROOT, arguments.where / arguments.report))


def _deliver(arguments: Any) -> None:
    from gatewright.release.trained_branch import deliver

    print(deliver(ROOT))


def _view(arguments: Any) -> None:
    from gatewright.release import queries

    if arguments.command == "status":
        queries.status(ROOT, arguments.json)
    else:
        queries.history(ROOT, arguments.env, arguments.at, arguments.json)
