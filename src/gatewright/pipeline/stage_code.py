"""Which code each stage of the pipeline runs, and whether dvc.yaml lists all of it.

DVC runs a stage again when one of its `deps` changes, and knows no others. A module that is
imported and not listed could change, and dvc.lock would still agree. So the imports of each
stage's code are followed here, as `modulefinder` of the standard library does but without
looking into a package that is not the project's. Files are read as data; nothing is imported.
Stages see the modules of `src` and what is installed, and no others (`adapters/dvc.py`).

Followed are all import statements, wherever they stand, and `import_module` of a literal name.
What a library imports by a name that it is given, what a program that is started runs, and data
files that are read, cannot be seen in the code: list them in `deps` yourself.
"""

from __future__ import annotations

import ast
import os
import re
import shlex
import warnings
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath

from gatewright.pipeline.shadows import SOURCE
from gatewright.pipeline.staleness import PipelineStage

_LIBRARY = {"check", "evaluate", "card", "seal"}  # commands that run no code of the project
_LONGEST = 20_000_000  # bytes of a source file
_COMPILED = (".so", ".pyd", ".pyc")  # modules that have no source to follow
_FLAGS = re.compile(r"-[bBdiIOPqsSuv]+")  # of `python`, without a value; -E would look elsewhere
_UV_FLAGS = {"--locked", "--frozen", "--no-sync", "--no-dev", "--"}
# What imports by other means than a statement, or says where modules are looked for.
_MODULES = {
    *("builtins", "code", "codeop", "imp", "pkgutil", "runpy", "site", "zipimport"),
    *("importlib.abc", "importlib.machinery", "importlib.util", "importlib._bootstrap"),
    *("importlib._bootstrap_external",),
}
_NAMES = {"__import__", "__builtins__", "__loader__", "__path__", "__spec__", "eval", "exec"}
_OF_SYS = {"path", "meta_path", "path_hooks", "path_importer_cache"}
_OF_IMPORTLIB = {"import_module", "metadata", "resources"}


@dataclass(frozen=True)
class CodeGap:
    """Something that a stage runs and DVC does not watch, in one sentence with what mends it."""

    stage: str
    path: str
    problem: str

    def __str__(self) -> str:
        return f"stage {self.stage}: {self.path}{self.problem}"


class _NotFollowed(Exception):
    """The code of a command or file cannot be followed; the text says why."""


def code_gaps(root: Path, stages: Iterable[PipelineStage], hidden: Iterable[str]) -> list[CodeGap]:
    """What the stages run and DVC does not watch.

    `root` may be the checkout of somebody who is not trusted. `hidden` are the files that
    .dvcignore keeps from DVC.
    """
    hidden = frozenset(hidden)
    found = [gap for stage in stages for gap in _gaps_of(root, stage, hidden)]
    return list(dict.fromkeys(found))


def source_files(root: Path) -> list[str]:
    """Every file below `src`, seen from the project's root."""
    files = (path for path in (root / SOURCE).rglob("*") if path.is_file())
    return sorted(path.relative_to(root).as_posix() for path in files)


def _gaps_of(root: Path, stage: PipelineStage, hidden: frozenset[str]) -> Iterator[CodeGap]:
    if stage.frozen:
        yield CodeGap(stage.name, "it", " is frozen, so DVC watches nothing of it. Unfreeze it")
    for command in stage.commands:
        walk = _Walk(root)
        try:
            walk.visit([path for files in _entries(root, command) for path in files])
        except _NotFollowed as why:
            yield CodeGap(stage.name, f"`{command}`", f" cannot be followed: {why}")
            continue
        yield from (CodeGap(stage.name, path, words) for path, words in walk.doubts)
        for path, importer in sorted(walk.reached.items()):
            says = f" is imported by {importer}" if importer else " is run"
            if not _listed(path, stage.deps):
                words = f"{says}, and dvc.yaml does not list it. Add `- {path}` to its deps"
                yield CodeGap(stage.name, path, words)
            elif path in hidden:
                yield CodeGap(stage.name, path, f"{says}, and .dvcignore hides it from DVC")


def _listed(path: str, deps: frozenset[str]) -> bool:
    return any(str(place) in deps for place in (PurePosixPath(path), *PurePosixPath(path).parents))


# The commands of a stage


def _entries(root: Path, command: str) -> Iterator[list[str]]:
    """The files that a shell command starts. Raises _NotFollowed for what could be any code."""
    for line in command.replace("\\\n", " ").splitlines():
        for words in _simple_commands(line):
            yield from _entry(root, words)


def _simple_commands(line: str) -> Iterator[list[str]]:
    """The commands between `&&`, `||`, `|` and `;`."""
    if "$" in line or "`" in line:
        raise _NotFollowed("the shell would put something into it. Write it out")
    lexer = shlex.shlex(line, posix=True, punctuation_chars=True)
    lexer.whitespace_split, lexer.commenters = True, ""
    words: list[str] = []
    try:
        for word in [*lexer, ";"]:
            if not word or set(word) - set(";&|()<>"):
                words.append(word)
            elif word in (";", "&&", "||", "|"):
                if words:
                    yield words
                words = []
            else:
                raise _NotFollowed(f"`{word}`. Write one plain command a line")
    except ValueError as error:
        raise _NotFollowed(f"it is no shell command ({error})") from None


def _entry(root: Path, words: list[str]) -> Iterator[list[str]]:
    while words and re.match(r"\w+=", words[0]):
        if words[0].startswith(("PYTHON", "PATH=", "LD_", "DYLD_", "UV_")):
            raise _NotFollowed(f"{words[0]} says where code is looked for. Remove it")
        words = words[1:]
    if words[:2] == ["uv", "run"]:
        words = words[2:]
        while words and words[0] in _UV_FLAGS:
            words = words[1:]
    program, arguments = (words[0], words[1:]) if words else ("", [])
    if re.fullmatch(r"python(3(\.\d+)?)?", program):
        yield from _python(root, arguments)
    elif program == "mlops":
        yield from _mlops(root, arguments)
    else:
        raise _NotFollowed("write it as `mlops stage MODULE` or `python FILE`")


def _mlops(root: Path, arguments: list[str]) -> Iterator[list[str]]:
    command = arguments[0] if arguments else ""
    if command == "stage" and len(arguments) == 2:
        yield _module(root, arguments[1])
    elif command not in _LIBRARY:
        raise _NotFollowed(f"a pipeline runs `mlops stage MODULE` or {', '.join(sorted(_LIBRARY))}")


def _python(root: Path, arguments: list[str]) -> Iterator[list[str]]:
    while arguments and (_FLAGS.fullmatch(arguments[0]) or arguments[0] == "-W"):
        if arguments[0] == "-W" and "." in "".join(arguments[1:2]):
            raise _NotFollowed("-W would import what it names")
        arguments = arguments[2 if arguments[0] == "-W" else 1 :]
    first = arguments[0] if arguments else ""
    if first == "-m" and len(arguments) > 1:
        if arguments[1] == "gatewright":
            yield from _mlops(root, arguments[2:])
        else:
            yield _module(root, arguments[1])
        return
    path = os.path.normpath(first)
    if not first.endswith(".py") or path.startswith(("..", "/")) or not os.path.isfile(root / path):
        raise _NotFollowed("write it as `mlops stage MODULE` or `python FILE`")
    yield [path]


def _module(root: Path, name: str) -> list[str]:
    """A module that is run by its name; of a package, its `__main__`."""
    if not re.fullmatch(r"\w+(\.\w+)*", name):
        raise _NotFollowed(f"{name} is no name of a module")
    files = _files(root, name)
    if not any(of == name for _, of in files):
        raise _NotFollowed(f"there is no module {name} in {SOURCE}")
    files += _files(root, f"{name}.__main__")
    return list(dict.fromkeys(path for path, _ in files))


# The imports of a file


@dataclass
class _Walk:
    """A search through the imports of one command: the files reached, and by which file."""

    root: Path
    reached: dict[str, str | None] = field(default_factory=dict)
    doubts: list[tuple[str, str]] = field(default_factory=list)

    def visit(self, files: Iterable[str]) -> None:
        todo: list[tuple[str, str | None]] = [(path, None) for path in files]
        while todo:
            path, importer = todo.pop()
            if path in self.reached:
                continue
            self.reached[path] = importer
            try:
                names, doubts = self._read(path)
            except _NotFollowed as why:
                self.doubts.append((path, f" cannot be followed: {why}"))
                continue
            self.doubts += [
                (f"{path}:{line}", f" cannot be followed: {words}") for line, words in doubts
            ]
            for name in sorted(names):
                todo += [(found, path) for found, _ in _files(self.root, name)]

    def _read(self, path: str) -> tuple[set[str], list[tuple[int, str]]]:
        """The names that a file imports, and the lines that import in ways not followed."""
        full = self.root / path
        if full.resolve() != self.root.resolve() / path:
            raise _NotFollowed("it is, or lies in, a symbolic link. Put the file itself there")
        if path.endswith(_COMPILED):
            raise _NotFollowed("it is compiled. Import its source")
        if full.stat().st_size > _LONGEST:
            raise _NotFollowed("it is too long for a source file")
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")
                tree = ast.parse(full.read_bytes())
        except (SyntaxError, ValueError, RecursionError, MemoryError) as error:
            raise _NotFollowed(f"it is no Python that can be read here ({error})") from None
        reader = _Reader(_package(path))
        try:
            reader.visit(tree)
        except RecursionError:
            raise _NotFollowed("it is nested too deeply") from None
        return reader.names, reader.doubts


def _package(path: str) -> str:
    """The package, as a dotted name, that a file is in."""
    folder = PurePosixPath(path).parent
    return ".".join(folder.relative_to(SOURCE).parts) if folder.is_relative_to(SOURCE) else ""


def _files(root: Path, name: str) -> list[tuple[str, str]]:
    """The files that an import of a dotted name could run, each with the name that it is.

    Those are the packages above it too. `name` may end with `.*`: every module in the package.
    """
    *parents, last = name.split(".")
    if not all({*parents, last}) or "/" in name:
        return []  # no module has such a name
    found: list[tuple[str, str]] = []
    for depth in range(len(parents) + 1):
        steps = (*parents, last)[: depth + 1]
        folder, step = PurePosixPath(SOURCE, *steps[:-1]), steps[-1]
        names = _names(root / folder) if step == "*" else [step]
        for module in names:
            of = ".".join((*steps[:-1], module))
            found += [(path, of) for path in _sources(root, folder, module)]
    return found


def _names(folder: Path) -> list[str]:
    """The modules and packages that lie in a folder."""
    if not os.path.isdir(folder):
        return []
    names = (item.name.partition(".")[0] for item in folder.iterdir())
    return sorted({name for name in names if name.isidentifier() and name != "__pycache__"})


def _sources(root: Path, folder: PurePosixPath, name: str) -> list[str]:
    """The files of a module or package `name` in a folder, of whatever kind."""
    found = []
    for place, stem in ((folder / name, "__init__"), (folder, name)):
        items = sorted(os.listdir(root / place)) if os.path.isdir(root / place) else []
        found += [
            (place / item).as_posix()
            for item in items
            if item == f"{stem}.py" or (item.startswith(f"{stem}.") and item.endswith(_COMPILED))
            if os.path.isfile(root / place / item)
        ]
    return found


class _Reader(ast.NodeVisitor):
    """Collects what a module of `package` imports, and where it does so by other means."""

    def __init__(self, package: str) -> None:
        self.package = package
        self.names: set[str] = set()
        self.doubts: list[tuple[int, str]] = []
        self._importlib: set[str] = set()  # what `importlib` is called here
        self._import_module: set[str] = set()
        self._sys: set[str] = set()

    def visit(self, node: ast.AST) -> None:
        # Names first, so that one used above its import, in a function, is known.
        if isinstance(node, ast.Module):
            for item in ast.walk(node):
                if isinstance(item, ast.Import):
                    self._bind(item)
                elif isinstance(item, ast.ImportFrom):
                    self._bind_from(item)
        super().visit(node)

    def _bind(self, node: ast.Import) -> None:
        for alias in node.names:
            self.names.add(alias.name)
            called = alias.asname or alias.name.partition(".")[0]
            if alias.name == "importlib" or (
                alias.name.startswith("importlib.") and not alias.asname
            ):
                self._importlib.add(called)
            if alias.name == "sys":
                self._sys.add(called)
            self._refuse_module(node, alias.name)

    def _bind_from(self, node: ast.ImportFrom) -> None:
        module = self._absolute("." * node.level + (node.module or ""))
        if module is None:
            return
        self._refuse_module(node, module)
        for alias in node.names:
            self.names |= {module, f"{module}.{alias.name}".lstrip(".")} - {""}
            if module == "importlib":
                if alias.name == "import_module":
                    self._import_module.add(alias.asname or alias.name)
                elif alias.name not in _OF_IMPORTLIB:
                    self._doubt(node, f"importlib.{alias.name}")
                self._refuse_module(node, f"importlib.{alias.name}")
            if module == "sys" and (alias.name in _OF_SYS or alias.name == "*"):
                self._doubt(node, f"sys.{alias.name}")

    def visit_Call(self, node: ast.Call) -> None:
        if self._is_import_module(node.func):
            self._literal(node)
            for argument in (*node.args, *node.keywords):
                self.visit(argument)
        else:
            self.generic_visit(node)

    def visit_Name(self, node: ast.Name) -> None:
        if node.id in _NAMES or node.id in self._importlib | self._import_module:
            self._doubt(node, node.id)

    def visit_Attribute(self, node: ast.Attribute) -> None:
        value = node.value
        if node.attr in ("__import__", "__loader__", "__path__", "import_module", "exec_module"):
            self._doubt(node, node.attr)
        if isinstance(value, ast.Name) and value.id in self._importlib:
            if node.attr not in _OF_IMPORTLIB - {"import_module"}:
                self._doubt(node, f"importlib.{node.attr}")
            return
        if isinstance(value, ast.Name) and value.id in self._sys and node.attr in _OF_SYS:
            self._doubt(node, f"sys.{node.attr}")
        self.generic_visit(node)

    def _is_import_module(self, func: ast.expr) -> bool:
        if isinstance(func, ast.Name):
            return func.id in self._import_module
        return (
            isinstance(func, ast.Attribute)
            and func.attr == "import_module"
            and isinstance(func.value, ast.Name)
            and func.value.id in self._importlib
        )

    def _literal(self, node: ast.Call) -> None:
        """`import_module("a.b")`, or `import_module(".b", __package__)`."""
        first = node.args[0] if node.args else None
        others = [*node.args[1:], *(keyword.value for keyword in node.keywords)]
        known = all(isinstance(o, ast.Name) and o.id == "__package__" for o in others)
        if not (isinstance(first, ast.Constant) and isinstance(first.value, str) and known):
            self._doubt(node, "a module is imported by a name that is computed")
        elif name := self._absolute(first.value):
            self.names.add(name)
            self._refuse_module(node, name)

    def _absolute(self, name: str) -> str | None:
        """A name with leading dots as an absolute one, or None if it leads out of the package."""
        level = len(name) - len(name.lstrip("."))
        if not level:
            return name
        steps = self.package.split(".") if self.package else []
        if level - 1 > len(steps):
            return None  # which Python refuses, too
        return ".".join([*steps[: len(steps) - level + 1], *filter(None, [name[level:]])])

    def _refuse_module(self, node: ast.AST, name: str) -> None:
        if any(name == module or name.startswith(f"{module}.") for module in _MODULES):
            self._doubt(node, name)

    def _doubt(self, node: ast.AST, what: str) -> None:
        line = getattr(node, "lineno", 0)
        words = f"{what}. Import what it needs by a statement"
        if (line, words) not in self.doubts:
            self.doubts.append((line, words))
