"""Storage and pipeline: setup, run, push, move-storage, and the stages themselves."""

from __future__ import annotations

import sys
from pathlib import Path

from gatewright.cli import failures
from gatewright.cli.parser import Arguments, Parser, required
from gatewright.errors import Refused

PARAMETERS = "params.yaml"


def add_to(parser: Parser) -> None:
    parser.command("setup", _storage, "get this clone ready: storage, data, hooks")
    run = parser.command("run", _run, "run the pipeline: check, split, train, evaluate, card")
    run.add_argument("stage", nargs="*", help="only up to this stage")
    run.add_argument("--anew", action="store_true", help="every stage, whatever DVC remembers")
    new = parser.command(
        "ingest", _ingest, "bring new data into data/raw, less what is dropped on arrival"
    )
    new.add_argument(
        "file", nargs="*", help="a file, a URL or a database; else as sources.yaml says"
    )
    new.add_argument("--query", help="a table or a query of the database, a sheet of the workbook")
    new.add_argument("--corrects", action="store_true", help="rows take the place of known ones")
    parser.command("push", _storage, "store data and models, so that other clones have them")
    move = parser.command("move-storage", _storage, "move data and models to another DVC remote")
    move.add_argument("url", help="s3://bucket/path, gs://, azure://, ssh:// or a folder")
    own = parser.command("stage", _own_stage, "pipeline: run a module of src/")
    own.add_argument("module", help="as it is imported, like package.train")
    parser.command("check", _stage, "pipeline: does the raw data keep the contract?")
    parser.command("evaluate", _stage, "pipeline: score the test rows")
    parser.command("card", _stage, "pipeline: write the model card")
    seal = parser.command("seal", _seal, "pipeline: make skops files byte-stable")
    seal.add_argument("path", nargs="+", type=Path)


def _storage(arguments: Arguments) -> None:
    from gatewright.adapters.dvc import Storage
    from gatewright.project import Project

    storage = Storage(arguments.root)
    with storage.git.alone():
        if arguments.command == "setup":
            storage.set_up()
        elif arguments.command == "push":
            storage.push()
        else:
            url = required(arguments.url, "URL")
            storage.move(url, Project(arguments.root).environments)


def _run(arguments: Arguments) -> None:
    from gatewright.adapters.dvc import reproduce

    _check_parameters(arguments)
    reproduce(arguments.root, *arguments.stage, anew=arguments.anew)


def _ingest(arguments: Arguments) -> None:
    from gatewright.pipeline.ingest import ingest

    here = arguments.called_from
    places = [place if "://" in place else str(here / place) for place in arguments.file]
    print(ingest(arguments.root, places, arguments.query, arguments.corrects).sentence)


def _stage(arguments: Arguments) -> None:
    from importlib import import_module

    modules = {"check": "data_check", "evaluate": "evaluate", "card": "model_card"}
    module = import_module(f"gatewright.pipeline.{modules[arguments.command]}")
    getattr(module, arguments.command)(arguments.root)


def _own_stage(arguments: Arguments) -> None:
    import runpy

    _check_parameters(arguments)
    if not sys.flags.safe_path:
        del sys.path[0]  # where this command lies, or the project's root: nothing to import
    sys.path.insert(0, str((arguments.root / "src").resolve()))
    try:
        runpy.run_module(arguments.module, run_name="__main__", alter_sys=True)
    except (Refused, OSError):
        raise
    except Exception as error:  # of the team's code, which may raise what it likes
        raise Refused(failures.of_stage(error, arguments.module)) from error


def _check_parameters(arguments: Arguments) -> None:
    """Stages read params.yaml by a reader of their own, which may see other numbers in it."""
    from gatewright.adapters.files import read_text
    from gatewright.adapters.strict_yaml import refuse_odd_numbers

    path = arguments.root / PARAMETERS
    if path.exists():
        refuse_odd_numbers(read_text(path), PARAMETERS)


def _seal(arguments: Arguments) -> None:
    from gatewright.adapters.model_file import seal

    for path in arguments.path:
        seal(path)
