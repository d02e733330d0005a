"""A project about one's own table: look, adopt."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import TYPE_CHECKING

from gatewright.cli.parser import Arguments, Parser
from gatewright.errors import Misuse

if TYPE_CHECKING:
    from gatewright.adoption.adopt import Adopted
    from gatewright.adoption.profile import Profile

_QUERY = "a table or a query of the database, a sheet of the workbook"


def add_to(parser: Parser) -> None:
    look = parser.command("look", _look, "one page about a table: the suspicious things first")
    look.add_argument("file", nargs="?", help="as for adopt; default: what lies in data/raw")
    look.add_argument("--target", metavar="COLUMN", help="of a file: what is to be predicted")
    look.add_argument("--query", help=_QUERY)
    look.add_argument("--out", help="the page (default: reports/look.html)")
    adopt = parser.command("adopt", _adopt, "make the project be about a table of yours")
    adopt.add_argument("file", nargs="?", help="a file, a URL, or the address of a database")
    adopt.add_argument("--target", metavar="COLUMN", help="what is to be predicted")
    adopt.add_argument("--task", choices=["binary", "multiclass", "regression"])
    adopt.add_argument("--query", help=_QUERY)
    adopt.add_argument("--name", help="of the project, as people say it")
    adopt.add_argument("--description", help="what it predicts, in one sentence")
    adopt.add_argument("--review", action="store_true", help="show what was guessed, and stop")


def _look(arguments: Arguments) -> None:
    from gatewright.looking.look import PAGE, look_at_file, look_at_raw

    out = arguments.called_from / arguments.out if arguments.out else arguments.root / PAGE
    if arguments.file:
        place = arguments.file
        if "://" not in place:
            place = str(arguments.called_from / Path(place))
        found = look_at_file(place, out, arguments.target, arguments.query)
    else:
        found = look_at_raw(arguments.root, out)
    for suspicion in found[:10]:
        print(f"{suspicion.column}: {suspicion.words}")
    if len(found) > 10:
        print(f"and {len(found) - 10} more")
    print(f"{out} shows all of it: open it in a browser.")


def _adopt(arguments: Arguments) -> int:
    from gatewright.adoption.adopt import adopt
    from gatewright.adoption.review import show_guesses

    if arguments.review and arguments.file is None:
        show_guesses(arguments.root)
        return 0
    if not arguments.file or not arguments.target:
        raise Misuse(
            "Name the table and what is to be predicted: `mlops adopt FILE --target COLUMN`."
        )
    place = arguments.file
    if "://" not in place:
        place = str(arguments.called_from / Path(place))
    done = adopt(
        arguments.root,
        place,
        arguments.target,
        _say,
        arguments.task,
        arguments.query,
        arguments.name,
        arguments.description,
    )
    _tell(done)
    return 0


def _say(words: str) -> None:
    print(f"  {words}", file=sys.stderr, flush=True)


def _tell(done: Adopted) -> None:
    from gatewright.adapters.console import print_table

    found = done.profile
    print(_sentence(found))
    for note in (*done.notes, *found.notes):
        print(f"Noticed: {note}.")
    rows = [
        (name, guess.value, guess.evidence)
        for name, (role, guess) in found.roles.items()
        if guess.matters
    ]
    rows += [
        (name, guess.value, guess.evidence)
        for name, guess in found.evidence.items()
        if guess.matters
    ]
    rows += [(name, "type", guess.evidence) for name, guess in found.types.items() if guess.matters]
    if rows:
        print("\nGuessed, and to be confirmed by a person (contract.yaml):")
        print_table(rows, ("column", "taken for", "why"))
    if done.too_few:
        print(f"\nToo few rows to judge a model: {done.too_few}. The gate says so.")
    print("\nNext: read contract.yaml and `mlops gate`, commit, then `mlops register`.")


def _sentence(found: Profile) -> str:
    target = found.recipe.target
    what = {
        "binary": f"whether {target} is {found.target.event}",
        "multiclass": f"which of {len(found.target.classes)} values {target} has",
        "regression": f"the number {target}",
    }[found.target.task]
    trained = len(found.rows) - found.test_rows
    return (
        f"The project predicts {what}, from {len(found.features)} columns of {len(found.rows):,} "
        f"rows ({trained:,} train, {found.test_rows:,} test)."
    )
