"""What is said of an error that no command foresaw: one sentence, and never a traceback."""

from __future__ import annotations

from pathlib import Path

from gatewright.errors import Refused, Undecided

STATUS = Undecided.status
VERBOSE = "MLOPS_DEBUG"  # set to anything: the traceback is shown as well
_MORE = f"`{VERBOSE}=1` before the command shows the traceback"


def answer(error: BaseException) -> tuple[str, int]:
    """What to say of the error, and the exit status."""
    if isinstance(error, Refused):
        return str(error), error.status
    return sentence(error), STATUS


def sentence(error: BaseException) -> str:
    """What happened, why it matters and what mends it.

    The words of an internal error are left out: they may hold a value of the data.
    """
    from gatewright.gate.internal_error import place

    if isinstance(error, KeyboardInterrupt):
        return "interrupted before it had an answer. Run it again; what is done stays done."
    if isinstance(error, MemoryError):
        return "this machine has too little memory for it. Nothing was decided; use a larger one."
    if isinstance(error, OSError) and error.strerror:
        names = (error.filename, error.filename2)
        shown = ", ".join(name for name in names if isinstance(name, str))
        return (
            f"{error.strerror}{f': {shown}' if shown else ''}. It stopped there, and what is done "
            "stays done. Mend that, and run it again."
        )
    if isinstance(error, SystemExit):
        return "code that it called ended it before it had an answer, so nothing was decided."
    if isinstance(error, ModuleNotFoundError) and not (error.name or "").startswith("gatewright"):
        return (
            f"{error.name} is not installed here, and this command needs it. Nothing was decided. "
            "Run `uv sync`, and again."
        )
    return (
        f"internal error: {type(error).__name__}{place(error)}. Nothing was decided. {_MORE}; "
        "report it to whoever keeps the library."
    )


def of_stage(error: Exception, module: str) -> str:
    """The same of an error in the team's own code, whose words the team is shown."""
    from gatewright.gate.internal_error import place

    words = f"{type(error).__name__}: {error}".rstrip(": ")
    return f"{module} failed: {words}{place(error, Path('src').resolve())}. {_MORE}."


def unanswered(error: OSError | KeyboardInterrupt) -> str:
    """Of an answer that could not be written."""
    if isinstance(error, KeyboardInterrupt):
        return sentence(error)
    return (
        f"its answer could not be written ({error.strerror}). What it did stays done: ask with "
        "`mlops status`, or run it again."
    )
