"""Bills of materials in CycloneDX 1.6 (ECMA-424): of the environment, and of a version.

The same lock or version gives the same bytes. https://cyclonedx.org/docs/1.6/json
"""

from __future__ import annotations

import hashlib
import tomllib
import uuid
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from gatewright.adapters.files import read_text
from gatewright.adapters.git import Git
from gatewright.contract.schema import Contract, parse_contract
from gatewright.errors import Refused
from gatewright.registry.git_registry import Registry
from gatewright.registry.records import VersionRecord

WORDS = "docs/model-card-words.md"
TASKS = {
    "binary": "binary classification",
    "multiclass": "classification",
    "regression": "regression",
}
Bom = dict[str, Any]


def environment_bom(root: Path) -> Bom:
    """What `uv.lock` here installs: packages for the model's work, and those for development."""
    lock = read_text(root / "uv.lock")
    bom = _frame(lock)
    main, libraries, dependencies = _locked(lock)
    bom["metadata"] = {"component": main}
    return bom | {"components": libraries, "dependencies": dependencies}


def version_bom(root: Path, version: str) -> Bom:
    """A version: its model with a model card, data by digest, packages that it was made with.

    Raises Refused for a version that is not the one that was registered.
    """
    record = Registry(root).fetch().version(version)
    git = Git(root)
    contract = parse_contract(git.show(record.commit, "contract.yaml"))
    words, lock = git.blobs([f"{record.commit}:{WORDS}", f"{record.commit}:uv.lock"])
    _, libraries, dependencies = _locked(lock) if lock else ({}, [], [])
    data = _data(record)
    model = {
        "type": "machine-learning-model",
        "bom-ref": "model",
        "name": contract.name,
        "version": record.version,
        "description": contract.description,
        "hashes": [{"alg": "SHA-256", "content": record.model}],
        "modelCard": _card(record, contract, words or "", [part["bom-ref"] for part in data]),
        "properties": [
            {"name": f"mlops:{name}", "value": str(value)}
            for name, value in (
                ("commit", record.commit),
                ("pipeline", record.pipeline),
                ("decision", record.verdict["decision"]),
                ("policy", record.verdict["policy"]),
                ("signed by", (record.signature or {}).get("key", "nobody")),
            )
        ],
    }
    used = [one["bom-ref"] for one in libraries if one["scope"] == "required"]
    own = {"ref": "model", "dependsOn": [*(part["bom-ref"] for part in data), *used]}
    bom = _frame(f"{record.version} {record.statement}")
    bom["metadata"] = {"timestamp": record.created, "component": model}
    others = [entry for entry in dependencies if entry["ref"] != "project"]
    return bom | {"components": [*data, *libraries], "dependencies": [own, *others]}


def _frame(seed: str) -> Bom:
    name = hashlib.sha256(seed.encode()).hexdigest()
    return {
        "$schema": "http://cyclonedx.org/schema/bom-1.6.schema.json",
        "bomFormat": "CycloneDX",
        "specVersion": "1.6",
        "serialNumber": f"urn:uuid:{uuid.uuid5(uuid.NAMESPACE_URL, name)}",
        "version": 1,
    }


def _locked(lock: str) -> tuple[Bom, list[Bom], list[Bom]]:
    """The project, its packages, and what depends on what; from the text of a uv.lock."""
    try:
        packages = tomllib.loads(lock)["package"]
        own = next(p for p in packages if {"editable", "virtual"} & set(p["source"]))
    except (tomllib.TOMLDecodeError, KeyError, StopIteration):
        raise Refused(
            "uv.lock is no lock file of a project, so what it installs is not known. Make it "
            "again with `uv lock`."
        ) from None
    refs: dict[str, list[str]] = {}
    for package in packages:
        refs.setdefault(package["name"], []).append(_ref(package))
    refs[own["name"]] = ["project"]
    needs = {
        _ref(p) if p is not own else "project": sorted(
            {ref for d in p.get("dependencies", ()) for ref in refs[d["name"]]}
        )
        for p in packages
    }
    reached, waiting = set(), ["project"]
    while waiting:
        ref = waiting.pop()
        if ref not in reached:
            reached.add(ref)
            waiting += needs[ref]
    libraries = [
        {
            "type": "library",
            "bom-ref": _ref(p),
            "name": p["name"],
            "version": p["version"],
            "scope": "required" if _ref(p) in reached else "excluded",
            "purl": _ref(p),
        }
        for p in packages
        if p is not own
    ]
    main = {"type": "application", "bom-ref": "project", "name": own["name"]}
    main["version"] = own.get("version", "0")
    return main, libraries, [{"ref": ref, "dependsOn": on} for ref, on in sorted(needs.items())]


def _ref(package: Bom) -> str:
    return f"pkg:pypi/{package['name']}@{package.get('version', '0')}"


def _data(record: VersionRecord) -> list[Bom]:
    """Raw data by DVC's digest, and the files of the version, but for the model itself."""
    digests = {path: ("MD5", digest) for path, digest in record.data.items()}
    digests |= {
        file.path: ("SHA-256", file.sha256 or "")
        for file in record.stored
        if file.sha256 != record.model
    }
    return [
        {
            "type": "data" if path.startswith("data/") else "file",
            "bom-ref": path,
            "name": path,
            "hashes": [{"alg": name, "content": digest.removesuffix(".dir")}],
        }
        for path, (name, digest) in sorted(digests.items())
    ]


def _card(record: VersionRecord, contract: Contract, words: str, data: list[str]) -> Bom:
    figures = [_figure(metric, row["candidate"]) for metric, row in record.metrics.items()]
    figures += [
        _figure(metric, models["candidate"], f"{column}={value}")
        for column, parts in (record.slices or {}).items()
        for value, part in parts.items()
        for metric, models in part.items()
        if isinstance(models, dict)
    ]
    inputs = [{"format": f"{name}: {contract.columns[name].type}"} for name in contract.features]
    told = {"useCases": _said(words, "What it is for")}
    told["technicalLimitations"] = [
        *_said(words, "Limits"),
        *(f"Not for: {text}" for text in _said(words, "What it is not for")),
    ]
    return {
        "modelParameters": {
            "approach": {"type": "supervised"},
            "task": TASKS[contract.target.type],
            "datasets": [{"ref": ref} for ref in data if ref.startswith("data/")],
            "inputs": inputs,
            "outputs": [{"format": f"{contract.prediction.name}: {contract.target.description}"}],
        },
        "quantitativeAnalysis": {"performanceMetrics": figures},
        "considerations": {name: texts for name, texts in told.items() if texts},
    }


def _figure(metric: str, measured: Mapping[str, float], part: str | None = None) -> Bom:
    shown = {
        "type": metric,
        "value": f"{measured['value']:.6g}",
        "confidenceInterval": {
            "lowerBound": f"{measured['low']:.6g}",
            "upperBound": f"{measured['high']:.6g}",
        },
    }
    return shown | ({"slice": part} if part else {})


def _said(words: str, heading: str) -> list[str]:
    """The paragraphs and points under a heading, each in one line."""
    _, found, rest = f"\n{words}".partition(f"\n## {heading}\n")
    body = rest.partition("\n## ")[0].replace("\n- ", "\n\n- ") if found else ""
    return [
        " ".join(part.removeprefix("- ").split()) for part in body.split("\n\n") if part.strip()
    ]
