"""Work in a process of its own: nothing in it ends a command with a status of its choice."""

from __future__ import annotations

import multiprocessing
import os
import sys
import warnings
from collections.abc import Callable
from multiprocessing.connection import Connection, wait
from signal import Signals
from typing import Any, TypeVar

from gatewright.errors import Undecided

T = TypeVar("T")


def apart(work: Callable[[], T], what: str) -> T:
    """What `work` returns or raises, in a copy of this process. Nothing that it changes stays.

    Raises Undecided if the copy ends before that, by whatever status or signal; `what` may have
    ended it opens the sentence. Only Linux copies a process safely; elsewhere it is done here.
    """
    if sys.platform != "linux":
        return work()
    sys.stdout.flush()
    sys.stderr.flush()
    context = multiprocessing.get_context("fork")
    reader, writer = context.Pipe(duplex=False)
    process = context.Process(target=_answer, args=(work, writer))
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # threads: see _answer
        process.start()
    writer.close()
    answer: Any = None
    end = os.pidfd_open(int(process.pid or 0))  # process.sentinel is open while a child of it lives
    try:
        if reader in wait([reader, end]):
            answer = reader.recv()
    except Exception:  # the end of the pipe, or what is no answer
        answer = None
    finally:
        process.join(1)
        process.kill()
        process.join()
        os.close(end)
        reader.close()
    if answer is None:
        raise Undecided(
            f"{what} ended the process {_how(process.exitcode)} before there was an answer, so "
            "nothing was decided. Let it return or raise, and never end the process."
        )
    good, value = answer
    if good:
        return value  # type: ignore[no-any-return]
    raise value


def _answer(work: Callable[[], T], writer: Connection) -> None:
    """In the copy, without the threads of OpenMP: they stayed behind, and would be waited for."""
    from threadpoolctl import threadpool_limits

    threadpool_limits(1)
    try:
        answer: tuple[bool, object] = (True, work())
    except BaseException as error:
        answer = (False, error)
    writer.send(answer)


def _how(code: int | None) -> str:
    if code is not None and code < 0:
        return f"by the signal {Signals(-code).name}"
    return f"with status {code}"
