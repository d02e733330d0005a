"""Memory that was freed, given back to the system.

glibc and Arrow keep it for later, in the arena of whichever thread freed it; another thread takes
new memory instead, and the peak of a long command grows by all that is kept.
"""

from __future__ import annotations

import ctypes


def give_back() -> None:
    """Does nothing where the C library is another one than glibc."""
    import pyarrow

    pyarrow.default_memory_pool().release_unused()
    trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
    if trim is not None:
        trim(0)
