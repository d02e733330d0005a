"""The gate: gate, policy, prove, review, comment."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.cli.parser import Arguments, Parser
from gatewright.errors import Refused

if TYPE_CHECKING:
    from gatewright.gate.verdict import Verdict


def add_to(parser: Parser) -> None:
    gate = parser.command("gate", _gate, "judge the model in the work tree", reads=True)
    gate.add_argument("--env", default="dev", help="whose policy and champion (default: dev)")
    gate.add_argument("--explain", action="store_true", help="each question, number and bound")
    policy = parser.command(
        "policy", _policy, "choose thresholds: from history, or from what is live", reads=True
    )
    policy.add_argument("what", choices=["test", "propose"])
    policy.add_argument("--env", default="dev", help="whose policy (default: dev)")
    prove = parser.command(
        "prove", _prove, "is dvc.lock honest? with --base, builds again what is not proven"
    )
    prove.add_argument("--base", metavar="REVISION", help="the branch that it wants to enter")
    prove.add_argument("--out", type=Path, default=Path("claims"), help="folder for what is found")
    review = parser.command(
        "review", _review, "judge another checkout by this one's rules", reads=True
    )
    review.add_argument("candidate", type=Path, help="the checkout that is judged")
    review.add_argument("--claims", type=Path, required=True, help="what `mlops prove` found")
    comment = parser.command("comment", _comment, "write the gate's report under its pull request")
    comment.add_argument("report", type=Path)


def _gate(arguments: Arguments) -> int:
    from gatewright.release.workspace import Workspace

    return _answer(Workspace(arguments.root).judge_work_tree(arguments.env), arguments)


def _policy(arguments: Arguments) -> int:
    from gatewright.release import backtest
    from gatewright.release.workspace import Workspace

    choose = backtest.propose if arguments.what == "propose" else backtest.replay
    print(choose(Workspace(arguments.root), arguments.env, arguments.json), end="")
    return 0


def _answer(verdict: Verdict, arguments: Arguments) -> int:
    from gatewright.gate import report

    report.write(verdict, arguments.root / "reports")
    if arguments.json:
        print(report.to_json(verdict), end="")
    elif getattr(arguments, "explain", False):
        report.explain(verdict)
    else:
        report.show(verdict)
    return int(verdict.status)


def _prove(arguments: Arguments) -> int:
    from gatewright.adapters.git import Git
    from gatewright.gate.policy import NAME, PolicyFile
    from gatewright.pipeline.lock_verification import lock_problems, verify_lock
    from gatewright.project import Project

    if arguments.base is None:
        if wrong := lock_problems(arguments.root):
            raise Refused(
                f"dvc.lock is not honest: {'; '.join(wrong)}. Run `uv run mlops run` and commit it."
            )
        print("Yes: dvc.lock agrees with what is here.")
        return 0
    first = Project(arguments.root).environments[0]
    out = arguments.called_from / arguments.out
    # By the policy of the branch that judges, and not by the candidate's own.
    policy = PolicyFile.parse(Git(arguments.root).show(arguments.base, NAME))
    report = verify_lock(arguments.root, arguments.base, first, out, policy.reproduce)
    if not report.affects_model:
        print("Yes: nothing that a model is made from changes.")
    elif not report.problems:
        print("Yes: code, parameters, data and dvc.lock agree, and the outputs are there.")
        if report.reproduced:
            print(f"Built again, byte for byte: {', '.join(report.reproduced)}.")
    else:
        print(f"No: dvc.lock is not honest: {'; '.join(report.problems)}.")
        if (out / "dvc.lock").exists():
            print(f"The mended one is {arguments.out / 'dvc.lock'}: commit it and push again.")
    return 1 if report.problems else 0


def _review(arguments: Arguments) -> int:
    from gatewright.gate.review import review

    here = arguments.called_from
    verdict = review(arguments.root, here / arguments.candidate, here / arguments.claims)
    return _answer(verdict, arguments)


def _comment(arguments: Arguments) -> None:
    from gatewright.gate.pr_comment import comment

    print(comment(arguments.root, arguments.called_from / arguments.report))
