"""The memory of this process: what there is, and giving back what was freed.

glibc and Arrow keep it for later, in the arena of whichever thread freed it; another thread takes
new memory instead, and the peak of a long command grows by all that is kept.
"""

from __future__ import annotations

import ctypes
import os
from contextlib import suppress
from pathlib import Path

_CGROUP = Path("/sys/fs/cgroup/memory.max")  # of a container


def available() -> int:
    """The bytes that this process may have: of the machine, its container or its own limit."""
    limits = [os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")]
    with suppress(OSError, ValueError):  # none, or "max"
        limits.append(int(_CGROUP.read_text(encoding="ascii")))
    with suppress(ImportError):  # not on Windows
        import resource

        limits.append(resource.getrlimit(resource.RLIMIT_AS)[0])
    return min(limit for limit in limits if limit > 0)


def give_back() -> None:
    """Does nothing where the C library is another one than glibc."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
