"""The ways in which a command says no. Each message tells what, why, and what mends it."""


class Refused(Exception):
    """The answer is no. Exit status 1."""

    status = 1


class Undecided(Refused):
    """It could not be decided, which every caller treats as no. Exit status 2."""

    status = 2


class Misuse(Refused):
    """The command was called wrongly. Exit status 64 (EX_USAGE of sysexits.h)."""

    status = 64
