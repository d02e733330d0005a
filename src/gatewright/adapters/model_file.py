"""Model files: skops, made byte-stable when sealed, opened only if every type is listed."""

import io
import json
import re
import warnings
import zipfile
from pathlib import Path
from typing import Any, Protocol

from gatewright.adapters.files import write_whole
from gatewright.errors import Refused

_REVIEWED_TYPES = Path(__file__).with_name("model_types.txt")
OWN_TYPES = "model-types.txt"  # in a project's root
_EPOCH = (1980, 1, 1, 0, 0, 0)  # the earliest date that a zip file can hold
_EXTRAS = ("lightgbm", "xgboost")
_MOST_BYTES = 2_000_000_000  # of a model file; nothing in it is packed, so also in memory

_MEMBER = re.compile(r"[\w.-]+")

_FORMATS = {
    b"\x80": "a Python pickle",
    b"\x78": "a compressed joblib pickle (zlib)",
    b"\x1f\x8b": "a compressed joblib pickle (gzip)",
    b"BZh": "a compressed joblib pickle (bzip2)",
    b"\xfd7zXZ": "a compressed joblib pickle (xz)",
    b"\x5d\x00": "a compressed joblib pickle (lzma)",
    b"\x04\x22\x4d\x18": "a compressed joblib pickle (lz4)",
}


class Model(Protocol):
    """What is asked of a model; one that predicts classes also has `predict_proba`."""

    def predict(self, rows: Any) -> Any: ...


def allowed_types(root: Path | None = None) -> frozenset[str]:
    """Exact names of types that a model file may hold: the library's list and the project's."""
    lines = _REVIEWED_TYPES.read_text(encoding="utf-8").splitlines()
    if root is not None and (root / OWN_TYPES).exists():
        lines += (root / OWN_TYPES).read_text(encoding="utf-8").splitlines()
    names = (line.partition("#")[0].strip() for line in lines)
    return frozenset(name for name in names if name)


def load_model(path: Path, allowed: frozenset[str]) -> Model:
    """Open a sealed model. Nothing is executed unless every type in it is `allowed`.

    Raises Refused for a pickle, a file that is no skops file, and a type not on the list.
    """
    content, schema, _ = _read(path)
    unlisted = sorted(set(_types(schema)) - allowed)
    if unlisted:
        raise Refused(
            f"{path} holds types that nobody has reviewed: {', '.join(unlisted)}. Opening it could "
            "run code. If they are meant, add their names to model-types.txt in a reviewed commit."
        )
    import skops.io

    try:
        with warnings.catch_warnings():
            warnings.simplefilter("error")  # e.g. a model saved by another scikit-learn
            model = skops.io.loads(content, trusted=sorted(allowed))
    except ImportError as error:
        package = str(error.name).partition(".")[0]
        mend = f"'gatewright[{package}]'" if package in _EXTRAS else package
        raise Refused(
            f"{path} is a model of {package}, which is not installed here. Run `uv add {mend}` in "
            "a change that is merged before the model is judged."
        ) from error
    except Exception as error:
        raise Refused(f"{path} cannot be opened: {error}. Train it again: `mlops run`.") from error
    if not hasattr(model, "predict"):
        raise Refused(f"{path} is no model that predicts; choose one in params.yaml.")
    return model  # type: ignore[no-any-return]


def seal(path: Path) -> None:
    """Rewrite a skops file so that equal models are equal bytes.

    skops names members after object ids and stamps the time. Here ids and members are numbered
    in the order in which the schema meets them, keys are sorted, dates fixed, nothing is
    compressed (zlib builds differ), and the thread count that scikit-learn and LightGBM keep,
    which is the machine's and not the model's, becomes 1.
    """
    _, schema, members = _read(path)
    ids: dict[int, int] = {}
    files: dict[str, str] = {}
    for node in _nodes(schema):
        if "__id__" in node:
            node["__id__"] = ids.setdefault(node["__id__"], len(ids))
        if isinstance(node.get("file"), str):
            old = node["file"]
            node["file"] = files.setdefault(old, f"{len(files):05d}{Path(old).suffix}")
        if node.get("__class__") == "_BinMapper":
            # Small integers are shared objects: this 1 must not be the 2 of some other place.
            node["content"]["content"]["n_threads"] |= {"content": "1", "__id__": -1}
        if (node.get("__module__"), node.get("__class__")) == ("lightgbm.basic", "Booster"):
            text = node["content"]["content"]["_handle"]
            text["content"] = re.sub(r"\[num_threads: \d+\]", "[num_threads: 1]", text["content"])
    packed = io.BytesIO()
    with zipfile.ZipFile(packed, "w") as archive:
        body = json.dumps(schema, sort_keys=True, indent=1).encode()
        archive.writestr(_member("schema.json"), body)
        for old, new in files.items():
            archive.writestr(_member(new), members[old])
    write_whole(path, packed.getvalue())


def _member(name: str) -> zipfile.ZipInfo:
    info = zipfile.ZipInfo(name, date_time=_EPOCH)
    info.create_system = 3  # the same on every platform
    info.external_attr = 0o644 << 16
    return info


def _read(path: Path) -> tuple[bytes, dict[str, Any], dict[str, bytes]]:
    if not path.exists():
        raise Refused(f"{path} is missing. Run `uv run mlops run` to make it.")
    if not path.is_file() or path.stat().st_size > _MOST_BYTES:
        raise Refused(f"{path} is no file of at most 2 GB and is not opened.")
    content = path.read_bytes()
    for magic, name in _FORMATS.items():
        if content.startswith(magic):
            raise Refused(
                f"{path} is {name}, whatever its name says. Loading it could run any code, so it "
                "is not opened. Save the model with skops: see train.py."
            )
    try:
        members = _members(content)
        schema = json.loads(members["schema.json"])
        # Every file that it names must be there, and nothing else: who would know what it is?
        named = {str(node.get("file", "schema.json")) for node in _nodes(schema)}
        if more := sorted(members.keys() ^ (named | {"schema.json"})):
            raise ValueError(f"{more[0]} is in it or in its schema, and not in both")
        return content, schema, members
    except (
        zipfile.BadZipFile,
        KeyError,
        ValueError,
        EOFError,
        NotImplementedError,
        RecursionError,
    ) as error:
        raise Refused(
            f"{path} is not a whole skops file ({error}). Run `uv run mlops run` to make it again."
        ) from None


def _members(content: bytes) -> dict[str, bytes]:
    """The members of a skops file. skops packs none, so a packed one is taken for a bomb."""
    members: dict[str, bytes] = {}
    end = 0
    with zipfile.ZipFile(io.BytesIO(content)) as archive:
        for item in archive.infolist():
            if item.filename in members or not _MEMBER.fullmatch(item.filename):
                raise ValueError(f"a member named {item.filename!r}")
            if item.compress_type != zipfile.ZIP_STORED or item.flag_bits & 1:
                raise ValueError(f"{item.filename} is packed")
            if item.header_offset != end or item.extra or item.comment:
                raise ValueError(f"bytes that are no member, before or in {item.filename}")
            end += 30 + len(item.filename) + item.compress_size
            body = archive.read(item)
            if body.startswith(b"PK\x03\x04"):  # a sparse matrix, which NumPy packs
                with zipfile.ZipFile(io.BytesIO(body)) as inner:
                    if sum(part.file_size for part in inner.infolist()) > _MOST_BYTES:
                        raise ValueError(f"{item.filename} unpacks to more than 2 GB")
            members[item.filename] = body
        if archive.start_dir != end or archive.comment:
            raise ValueError("bytes that are no member, at its end")
    return members


def _nodes(value: Any) -> list[dict[str, Any]]:
    """Every mapping in the schema, in a fixed order."""
    found: list[dict[str, Any]] = []
    stack = [value]
    while stack:
        item = stack.pop()
        if isinstance(item, dict):
            found.append(item)
            stack.extend(item[key] for key in sorted(item, reverse=True))
        elif isinstance(item, list):
            stack.extend(reversed(item))
    return found


def _types(schema: dict[str, Any]) -> list[str]:
    """Exact names of all types and functions that opening the file would touch."""
    names = []
    for node in _nodes(schema):
        if "__class__" in node or "__module__" in node:
            name = f"{node.get('__module__')}.{node.get('__class__')}"
            if node.get("__loader__") == "MethodNode":
                name += f".{node['content']['func']}"
            names.append(name)
    return names
