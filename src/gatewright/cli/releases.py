"""Versions on their way: register, promote, rollback, drill, smoke, retire, publish, settle,
supersede, alarm, attest, deliver, recheck."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.cli.parser import Arguments, Parser, plain, required
from gatewright.errors import Misuse, Refused, Undecided
from gatewright.run_context import RunContext, current

if TYPE_CHECKING:
    from gatewright.release.workspace import Outcome


def add_to(parser: Parser) -> None:
    register = parser.command(
        "register", _register, "make the committed model a version", reads=True
    )
    register.add_argument("--build", action="store_true", help="get or build its outputs first")
    promote = parser.command("promote", _promote, "let a version into an environment", reads=True)
    promote.add_argument("version")
    promote.add_argument(
        "--to",
        required=True,
        metavar="ENV",
        action="append",
        help="several times: one after the other, up to the first that refuses",
    )
    promote.add_argument(
        "--propose", action="store_true", help="open a pull request where nobody approved"
    )
    rollback = parser.command("rollback", _rollback, "bring back the version before", reads=True)
    rollback.add_argument("env")
    rollback.add_argument("--to", metavar="VERSION", help="an earlier one than the last")
    rollback.add_argument("--reason", type=plain)
    drill = parser.command(
        "drill", _drill, "rehearse a rollback in a scratch clone, and time it", reads=True
    )
    drill.add_argument("env", nargs="?", help="default: the last environment")
    smoke = parser.command(
        "smoke", _smoke, "does what is live answer as it did when it was registered?"
    )
    smoke.add_argument("env")
    smoke.add_argument("--roll-back", action="store_true", help="go back if it does not")
    retire = parser.command(
        "retire", _retire, "say that a version may not be promoted any more", reads=True
    )
    retire.add_argument("version")
    retire.add_argument("--reason", required=True)
    parser.command("settle", _settle, "try and show what a merged proposal let in", reads=True)
    supersede = parser.command(
        "supersede", _supersede, "cancel runs that wait with an older version for an approval"
    )
    supersede.add_argument("version")
    alarm = parser.command("alarm", _alarm, "open, renew or close the issue of a scheduled run")
    alarm.add_argument("subject", type=plain)
    alarm.add_argument("--results", required=True, help="of its jobs, like 'success failure'")
    publish = parser.command(
        "publish", _publish, "show on GitHub what is live: release, deployment"
    )
    publish.add_argument("env")
    attest = parser.command("attest", _attest, "sign what a training of another checkout gave")
    attest.add_argument("trained", type=Path, help="the checkout, as `mlops deliver` left it")
    attest.add_argument("--commit", required=True, help="what the training delivered")
    parser.command("collect", _collect, "bring in what sources.yaml names, as one pull request")
    parser.command(
        "deliver", _deliver, "commit what was trained to its branch and say how its checks start"
    )
    recheck = parser.command("recheck", _recheck, "start a branch's checks, as the GitHub App")
    recheck.add_argument("branch")


def _register(arguments: Arguments) -> int:
    from gatewright.release.register import register
    from gatewright.release.workspace import Kind, Workspace

    run = current()
    _tell_workflow(run)
    outcome = register(Workspace(arguments.root), arguments.build)
    # A version is released by the run that registered it; a run that is tried again goes on.
    goes_on = outcome.kind is Kind.REGISTERED_BEFORE and run.attempt > 1
    released = outcome.kind is Kind.REGISTERED or goes_on
    _tell_workflow(run, f"version={outcome.version if released else ''}\n")
    return _answer(outcome, arguments.json)


def _promote(arguments: Arguments) -> int:
    from gatewright.release.promote import LIVE, promote_through
    from gatewright.release.workspace import Workspace

    if arguments.json and len(arguments.to) > 1:
        raise Misuse("--json answers for one environment: name one with --to, then the next.")
    run = current()
    _tell_workflow(run)
    workspace, status, live = Workspace(arguments.root), 0, 0
    for outcome in promote_through(workspace, arguments.version, arguments.to, arguments.propose):
        status = _answer(outcome, arguments.json)
        live += outcome.kind in LIVE
    _tell_workflow(run, f"live={str(live == len(arguments.to)).lower()}\n")
    return status


def _rollback(arguments: Arguments) -> int:
    from gatewright.release.rollback import roll_back
    from gatewright.release.workspace import Workspace

    workspace = Workspace(arguments.root)
    outcome = roll_back(workspace, arguments.env, arguments.to or None, arguments.reason)
    return _answer(outcome, arguments.json)


def _retire(arguments: Arguments) -> int:
    from gatewright.release.retire import retire
    from gatewright.release.workspace import Workspace

    reason = required(arguments.reason, "reason")
    outcome = retire(Workspace(arguments.root), arguments.version, reason)
    return _answer(outcome, arguments.json)


def _answer(outcome: Outcome, as_json: bool) -> int:
    from gatewright.gate import report

    verdict = outcome.verdict
    if as_json:
        answer = {
            "version": outcome.version,
            "kind": outcome.kind,
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


def _tell_workflow(run: RunContext, output: str = "") -> None:
    """Set an output of the workflow's step, for the next job.

    Called without one before the command writes anything: Undecided if it could not be told.
    """
    if run.output:
        try:
            with run.output.open("a", encoding="utf-8") as file:
                file.write(output)
        except OSError as error:
            raise Undecided(
                f"What comes of it could not be told to the workflow ({error.strerror}: "
                f"{run.output}, from GITHUB_OUTPUT), so the next job would do nothing. Mend that, "
                "and run it again."
            ) from error


def _smoke(arguments: Arguments) -> None:
    from gatewright.release.smoke_test import smoke
    from gatewright.release.workspace import Workspace

    print(smoke(Workspace(arguments.root), arguments.env, arguments.roll_back))


def _drill(arguments: Arguments) -> None:
    from dataclasses import asdict

    from gatewright.adapters.console import print_table
    from gatewright.project import Project
    from gatewright.release.drill import drill

    environment = arguments.env or Project(arguments.root).environments[-1]
    done = drill(arguments.root, environment)
    if arguments.json:
        print(json.dumps(asdict(done), indent=2))
        return
    print_table([(step, f"{taken:5.1f} s") for step, taken in done.seconds.items()])
    print(done.sentence)


def _publish(arguments: Arguments) -> None:
    from gatewright.project import Project
    from gatewright.release.github_release import publish

    last = Project(arguments.root).environments[-1]
    print(publish(arguments.root, arguments.env, last))


def _settle(arguments: Arguments) -> None:
    from gatewright.release.settle import settle
    from gatewright.release.workspace import Workspace

    done = settle(Workspace(arguments.root))
    if arguments.json:
        print(json.dumps(done, indent=2, ensure_ascii=False))
    else:
        print("\n".join(done) or "Nothing is left to try or to show.")


def _supersede(arguments: Arguments) -> None:
    from gatewright.release.supersede import supersede
    from gatewright.release.workspace import Workspace

    done = supersede(Workspace(arguments.root), arguments.version)
    run = current()
    if run.summary and done:
        with run.summary.open("a", encoding="utf-8") as file:
            file.write("\n".join(done) + "\n")
    print("\n".join(done) or "No run waits with an older version.")


def _alarm(arguments: Arguments) -> None:
    from gatewright.adapters.github import GitHub
    from gatewright.release.alarm import alarm

    github = GitHub.of(arguments.root)
    if github is None:
        raise Refused("origin is no GitHub repository, so there is no issue to open.")
    print(alarm(github, arguments.subject, arguments.results.split(), current().run_page))


def _attest(arguments: Arguments) -> None:
    from gatewright.release.trained_branch import attest_and_deliver

    trained = arguments.called_from / arguments.trained
    print(attest_and_deliver(arguments.root, trained, arguments.commit, current().run_page))


def _recheck(arguments: Arguments) -> None:
    from gatewright.adapters.github import GitHub
    from gatewright.release.trained_branch import recheck

    github = GitHub.of(arguments.root)
    if github is None:
        raise Refused("origin is no GitHub repository, so there are no checks to start.")
    print(recheck(github, arguments.branch))


def _collect(arguments: Arguments) -> None:
    from gatewright.release.new_data import collect

    print(collect(arguments.root))


def _deliver(arguments: Arguments) -> None:
    from gatewright.release.trained_branch import deliver

    done = deliver(arguments.root)
    told = f"commit={done.commit}\nattest={str(done.attest).lower()}\n"
    _tell_workflow(current(), told)
    print(done.sentence)
