"""Every module that a stage's code can import is listed in dvc.yaml, or nothing is believed."""

import py_compile
from pathlib import Path
from typing import Any

import pytest
from parcels import Project, red
from reviews import Review

from gatewright.pipeline.pipeline_file import parse_pipeline
from gatewright.pipeline.stage_code import code_gaps
from gatewright.pipeline.staleness import PipelineStage

MAIN = "src/shop/train.py"
COMMAND = "mlops stage shop.train"


def gaps(
    root: Path,
    files: dict[str, str],
    command: str = COMMAND,
    deps: tuple[str, ...] = (MAIN, "src/shop/__init__.py"),
    **stage: Any,
) -> list[str]:
    """The gaps of a stage `train` over these files; `shop/__init__.py` is always there."""
    for name, text in {"src/shop/__init__.py": "", MAIN: "", **files}.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_text(text)
    known = {"frozen": False, "changed": False, **stage}
    train = PipelineStage("train", (command,), deps=frozenset(deps), **known)
    return [str(gap) for gap in code_gaps(root, [train], ())]


IMPORTS = {
    "a module of the package": ("from .help import x", "src/shop/help.py"),
    "the module itself, relatively": ("from . import help", "src/shop/help.py"),
    "absolutely": ("import shop.help", "src/shop/help.py"),
    "under another name": ("from shop import help as h", "src/shop/help.py"),
    "another package": ("import other", "src/other/__init__.py"),
    "a plain module of src": ("import tool", "src/tool.py"),
    "a package's package": ("import shop.deep.down", "src/shop/deep/__init__.py"),
    "a folder that is no package": ("import loose.thing", "src/loose/thing.py"),
    "inside a function": ("def f():\n    from .help import x", "src/shop/help.py"),
    "on a condition": ("if 0:\n    import shop.help", "src/shop/help.py"),
    "when another fails": (
        "try:\n    import fast\nexcept ImportError:\n    from . import help",
        "src/shop/help.py",
    ),
    "everything of a package": ("from .deep import *", "src/shop/deep/down.py"),
    "by a literal name": ("import importlib\nimportlib.import_module('tool')", "src/tool.py"),
    "by a literal, relative name": (
        "from importlib import import_module as get\nget('.help', package=__package__)",
        "src/shop/help.py",
    ),
    "by a name that no statement could have": (
        "import importlib\nimportlib.import_module('tool-2')",
        "src/tool-2.py",
    ),
    "in place of a standard module": ("import json", "src/json.py"),
    "what is imported imports": ("import chain", "src/shop/help.py"),
    "a package runs its __init__": ("import wide.part", "src/tool.py"),
}


@pytest.mark.parametrize(("code", "needed"), IMPORTS.values(), ids=IMPORTS.keys())
def test_what_is_imported_must_be_listed(code: str, needed: str, tmp_path: Path) -> None:
    files = {
        MAIN: code,
        "src/chain.py": "from shop.help import x",
        "src/wide/__init__.py": "import tool",
        "src/wide/part.py": "",
        "src/shop/deep/__init__.py": "",
        "src/shop/deep/down.py": "",
        "src/loose/thing.py": "",
        needed: "",
    }
    if needed == "src/tool.py":
        files |= {"src/tool.py": "x = 1"}
    found = gaps(tmp_path, files)
    line = f"stage train: {needed} is imported by src/"
    (hit,) = [gap for gap in found if gap.startswith(line)]
    assert hit.endswith(f"dvc.yaml does not list it. Add `- {needed}` to its deps")
    everything = tuple(path for path in files if path.startswith("src/"))
    assert gaps(tmp_path, files, deps=(*everything, "src/shop/__init__.py")) == []
    assert gaps(tmp_path, files, deps=("src",)) == [], "a folder holds its files"


NOT_FOLLOWED = {
    "a computed name": "import importlib\nimportlib.import_module(name)",
    "a computed part": "from importlib import import_module\nimport_module(f'shop.{x}')",
    "a function kept for later": "from importlib import import_module\nf = import_module",
    "the module kept for later": "import importlib as i\nf = getattr(i, 'import_' + 'module')",
    "from somebody else": "import other\nother.import_module(x)",
    "__import__": "__import__(name)",
    "__import__ by hand": "import builtins\nbuiltins.__import__(name)",
    "exec": "exec(open('other.py').read())",
    "a file by its path": "import importlib.util\nimportlib.util.spec_from_file_location('a', 'b')",
    "a file by its path, otherwise": "from importlib.util import spec_from_file_location",
    "runpy": "import runpy\nrunpy.run_path('lib/x.py')",
    "another place": "import sys\nsys.path.insert(0, 'lib')",
    "another place, otherwise": "from sys import path as p",
    "a package that moves": "__path__.append('lib')",
    "no Python": "def",
    "bytes that are no text": "\0",
}


@pytest.mark.parametrize("code", NOT_FOLLOWED.values(), ids=NOT_FOLLOWED.keys())
def test_what_cannot_be_followed_is_refused(code: str, tmp_path: Path) -> None:
    found = gaps(tmp_path, {MAIN: code})
    assert found
    assert all(gap.startswith(f"stage train: {MAIN}") for gap in found)
    assert all("cannot be followed" in gap for gap in found)


FINE = {
    "a package that is installed": "import pandas.api.types\nfrom sklearn import *",
    "a version": "from importlib.metadata import version\nversion('pandas')",
    "importlib for its data": "import importlib.resources\nimportlib.resources.files('pandas')",
    "sys for other things": "import sys\nsys.exit(0)\nsys.argv",
    "a method called eval": "import pandas\npandas.DataFrame().eval('a')",
    "a relative import that Python refuses": "from ....far import x",
    "a path that is no name": "import importlib\nimportlib.import_module('../../etc/passwd')",
    "nothing": "import importlib\nimportlib.import_module('a..\\0')",
    "a name that no file can have": f"import {'a' * 5000}",
}


@pytest.mark.parametrize("code", FINE.values(), ids=FINE.keys())
def test_ordinary_code_is_no_gap(code: str, tmp_path: Path) -> None:
    assert gaps(tmp_path, {MAIN: code}) == []


COMMANDS = {
    "python src/shop/train.py": [],
    "python3 -u -W ignore src/shop/train.py --fast": [],
    "uv run --locked python src/shop/train.py": [],
    "SEED=1 python src/shop/train.py && mlops seal model/model.skops": [],
    "python -m shop.train": [],
    "mlops check": [],
    "python -m gatewright stage shop.train": [],
    "mlops stage shop": ["src/shop/__main__.py is run"],
    "mlops check\npython src/tool.py": ["src/tool.py is run"],
    "mlops check; python src/tool.py": ["src/tool.py is run"],
    "python \\\n  src/tool.py": ["src/tool.py is run"],
    "mlops stage nobody": ["there is no module nobody in src"],
    "mlops run": ["cannot be followed"],
    "python -m pytest": ["there is no module pytest"],
    "python -c 'import tool'": ["cannot be followed"],
    "python src/nobody.py": ["cannot be followed"],
    "python ../outside.py": ["cannot be followed"],
    "bash train.sh": ["write it as `mlops stage MODULE` or `python FILE`"],
    "python src/$(echo tool).py": ["the shell would put something into it"],
    "python -W ignore::shop.help.Noise src/shop/train.py": ["-W would import what it names"],
    "python -E src/shop/train.py": ["cannot be followed"],
    "UV_ENV_FILE=.env uv run python src/shop/train.py": ["says where code is looked for"],
    "python -X pycache_prefix=lib src/shop/train.py": ["cannot be followed"],
    "python src/tool.py & python src/shop/train.py": ["Write one plain command"],
    "PYTHONPATH=lib python src/shop/train.py": ["says where code is looked for"],
    "python src/shop/train.py > log.txt": ["Write one plain command"],
    "python 'src": ["no shell command"],
}


@pytest.mark.parametrize(("command", "wanted"), COMMANDS.items(), ids=COMMANDS.keys())
def test_the_code_of_a_command_is_found(command: str, wanted: list[str], tmp_path: Path) -> None:
    files = {"src/tool.py": "", "src/shop/__main__.py": ""}
    found = gaps(tmp_path, files, command)
    assert len(found) == len(wanted)
    assert all(words in gap for gap, words in zip(found, wanted, strict=True)), found


def test_a_script_imports_from_src_and_not_from_beside_it(tmp_path: Path) -> None:
    """As the environment of a stage has it: see test_shadows.py."""
    files = {MAIN: "import help", "src/shop/help.py": "", "src/help.py": "import down"}
    found = gaps(tmp_path, files | {"src/down.py": ""}, f"python {MAIN}")
    assert [gap.split()[2] for gap in found] == ["src/down.py", "src/help.py"]


def test_a_frozen_stage_is_refused(tmp_path: Path) -> None:
    (gap,) = gaps(tmp_path, {}, frozen=True)
    assert "is frozen" in gap


def test_a_link_is_not_followed_out_of_the_project(tmp_path: Path) -> None:
    secret = tmp_path / "secret.py"
    secret.write_text("password = 'hunter2'\nimport")
    root = tmp_path / "project"
    (root / "src/shop").mkdir(parents=True)
    (root / "src/shop/help.py").symlink_to(secret)
    deps = (MAIN, "src/shop/__init__.py", "src/shop/help.py")
    (root / MAIN).write_text("")
    (gap,) = gaps(root, {MAIN: "from . import help"}, deps=deps)
    assert "a symbolic link" in gap
    assert "hunter2" not in gap


@pytest.mark.parametrize("name", ["help.pyc", "help.so", "help.cpython-311-x86_64-linux-gnu.so"])
def test_a_compiled_module_is_refused(name: str, tmp_path: Path) -> None:
    deps = (MAIN, "src/shop/__init__.py", f"src/shop/{name}")
    (gap,) = gaps(tmp_path, {MAIN: "from . import help", f"src/shop/{name}": ""}, deps=deps)
    assert "it is compiled" in gap


def test_modules_that_import_each_other_end(tmp_path: Path) -> None:
    files = {MAIN: "from . import help", "src/shop/help.py": "from . import train"}
    assert len(gaps(tmp_path, files)) == 1


# The commands


def hide_a_module(project: Project, listed: bool = False) -> None:
    """The training code imports a module; then the module changes and nothing is retrained."""
    (project.root / "src/strength.py").write_text("FACTOR = 1.0\n")
    project.edit("src/parcels.py", "import yaml\n", "import yaml\nfrom strength import FACTOR\n")
    project.edit("src/parcels.py", '["C"]', '["C"] * FACTOR')
    if listed:
        project.edit("dvc.yaml", "src/parcels.py]", "src/parcels.py, src/strength.py]")
    project.mlops("run")
    project.mlops("push")
    project.commit()


def test_register_refuses_a_module_that_is_not_listed(trained: Project) -> None:
    hide_a_module(trained)
    said = trained.mlops("register", expect=1)
    assert "src/strength.py is imported by src/parcels.py" in said.err
    assert "Add `- src/strength.py` to its deps" in said.err
    assert "src/strength.py is imported" in trained.mlops("prove", expect=1).err
    (trained.root / "src/strength.py").write_text("FACTOR = 0.001\n")
    trained.commit()
    trained.mlops("register", expect=1)
    trained.edit("dvc.yaml", "src/parcels.py]", "src/parcels.py, src/strength.py]")
    trained.commit()
    assert "it would run train" in trained.mlops("register", expect=1).err
    trained.mlops("run")
    trained.commit()
    trained.mlops("register")


def test_a_pull_request_with_a_module_that_is_not_listed_is_refused(released: Project) -> None:
    review = Review(released)
    hide_a_module(review.candidate)
    (review.candidate.root / "src/strength.py").write_text("FACTOR = 0.5\n")
    assert "src/strength.py" in review.prove(expect=1)["unlisted_code"][0]
    assert not (review.claims / "files").exists(), "nothing of it is worth building"
    verdict = review.judge(expect=1)
    assert "stage train: src/strength.py is imported by src/parcels.py" in str(verdict)
    assert red(verdict) == {"lock"}


def test_the_judge_looks_for_itself(released: Project) -> None:
    """The candidate's own job could have told anything."""
    review = Review(released)
    hide_a_module(review.candidate)
    (review.candidate.root / "src/strength.py").write_text("FACTOR = 0.5\n")
    review.prove(expect=1)
    claims = review.claims / "claims.json"
    (said,) = [line for line in claims.read_text().splitlines() if "strength.py" in line]
    claims.write_text(claims.read_text().replace(said, ""))
    verdict = review.judge(expect=1)
    assert "src/strength.py is imported by src/parcels.py" in str(verdict)


def test_a_module_that_is_listed_is_believed(trained: Project) -> None:
    hide_a_module(trained, listed=True)
    assert trained.mlops("prove").out.startswith("Yes")
    (trained.root / "src/strength.py").write_text("FACTOR = 0.5\n")
    assert "the inputs of train are other ones" in trained.mlops("prove", expect=1).err


def test_a_folder_whose_file_dvc_ignores_does_not_hold_it(trained: Project) -> None:
    hide_a_module(trained, listed=True)
    trained.edit("dvc.yaml", "src/parcels.py, src/strength.py]", "src]")
    (trained.root / ".dvcignore").write_text(".dvc-storage\n__pycache__\nsrc/strength.py\n")
    trained.mlops("run")
    said = trained.mlops("prove", expect=1)
    assert "src/strength.py is imported by src/parcels.py, and .dvcignore hides it" in said.err


def test_parameters_in_a_module_are_not_the_module(trained: Project) -> None:
    """DVC would watch the named values of such a file, and no more of it."""
    hide_a_module(trained)
    trained.edit("dvc.yaml", "params: [train]", "params: [train, src/strength.py: [FACTOR]]")
    trained.mlops("run")
    said = trained.mlops("prove", expect=1)
    assert "Move those of src/strength.py there" in said.err
    trained.edit("dvc.yaml", ", src/strength.py: [FACTOR]]", "]")
    assert "src/strength.py is imported" in trained.mlops("prove", expect=1).err


def test_a_frozen_stage_is_not_believed(trained: Project) -> None:
    trained.edit("dvc.yaml", "  train:\n", "  train:\n    frozen: true\n")
    trained.edit("src/parcels.py", "max_depth=1", "max_depth=2")
    assert "is frozen" in trained.mlops("prove", expect=1).err


def test_bytecode_in_git_is_refused(trained: Project) -> None:
    """Python would run it in place of the source, whose digest is that of dvc.lock."""
    script = trained.root / "src/parcels.py"
    py_compile.compile(str(script), invalidation_mode=py_compile.PycInvalidationMode.UNCHECKED_HASH)
    assert trained.mlops("prove").out.startswith("Yes"), "Python's own, which Git ignores"
    trained.git("add", "--force", "src/__pycache__")
    assert (
        "is bytecode. Remove it: `git rm src/__pycache__/" in trained.mlops("prove", expect=1).err
    )


def test_the_template_lists_what_its_stages_import(tmp_path: Path) -> None:
    text = {"{{ cookiecutter.package_name }}": "shop"}
    template = Path(__file__).parents[2] / "{{cookiecutter.project_slug}}"
    source = template / "src/{{cookiecutter.package_name}}"
    (tmp_path / "src/shop").mkdir(parents=True)
    for path in source.glob("*.py"):
        (tmp_path / "src/shop" / path.name).write_text(path.read_text())
    (old, new), *_ = text.items()
    declared = parse_pipeline((template / "dvc.yaml").read_text().replace(old, new))
    read = [
        PipelineStage(
            stage.name,
            (stage.cmd,) if isinstance(stage.cmd, str) else tuple(stage.cmd),
            frozenset(stage.deps.values()),
            stage.frozen,
            changed=False,
        )
        for stage in declared
    ]
    assert [stage.name for stage in read] == ["check", "split", "train", "evaluate", "card"]
    assert code_gaps(tmp_path, read, ()) == []
