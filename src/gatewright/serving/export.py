"""A version as a file for somebody else's machine: what it was proven to be, or nothing."""

from __future__ import annotations

import tempfile
from pathlib import Path

from gatewright.adapters.files import text_digest
from gatewright.contract.schema import parse_contract
from gatewright.errors import Refused
from gatewright.forms.make import TABLE
from gatewright.forms.plan import parse_plan
from gatewright.forms.sql import Dialect, quoted, sql_of
from gatewright.paths import PLAN
from gatewright.registry.champion import read_source
from gatewright.release.workspace import Workspace
from gatewright.serving.choose import chosen


def export_sql(
    workspace: Workspace,
    environment: str,
    version: str | None,
    dialect: Dialect,
    table: str,
    view: str | None,
) -> str:
    """The query of what is live in an environment, or of a version of its storage.

    Raises Refused if the version has none, or if this library would write another one than that
    which was proven when the version was registered.
    """
    workspace.project.known(environment)
    with workspace.git.alone():
        registry = workspace.registry()
        record, _ = chosen(registry, environment, version)
        told = (record.forms or {}).get("sql")
        if told is None:
            raise Refused(
                f"{record.version} was registered without SQL. Write `serve: [sql]` into "
                "contract.yaml, and register a version."
            )
        if "refused" in told:
            raise Refused(f"{record.version} has no SQL: {told['refused']}.")
        contract = parse_contract(read_source(workspace.git, record).contract)
        with tempfile.TemporaryDirectory() as name:
            files = [file for file in record.stored if file.path == PLAN]
            workspace.storage.fetch(files, environment, Path(name))
            plan = parse_plan((Path(name) / PLAN).read_text(encoding="utf-8"))
    if text_digest(sql_of(plan, contract, dialect, TABLE)) != told["sha256"][dialect]:
        raise Refused(
            f"This version of gatewright writes another query than the one that was proven when "
            f"{record.version} was registered. Use the version that its commit locks: "
            f"`git checkout {record.commit[:12]}`, `uv sync`."
        )
    query = sql_of(plan, contract, dialect, table)
    head = f"-- {contract.name}, version {record.version}, model {record.model}\n"
    return head + (f"CREATE VIEW {quoted(view)} AS\n{query.rstrip()};\n" if view else query)
