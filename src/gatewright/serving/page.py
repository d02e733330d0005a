"""The page /demo: a form made from the contract. Nothing on it comes from elsewhere."""

from __future__ import annotations

import base64
import hashlib
import json
from html import escape

from gatewright.serving.bundle import About, Input

STYLE = """
:root { color-scheme: light dark; --line: #8886; --good: #2a7; --bad: #c53; }
body { font: 16px/1.5 system-ui, sans-serif; max-width: 60rem; margin: 2rem auto; padding: 0 1rem; }
form { display: grid; grid-template-columns: repeat(auto-fill, minmax(16rem, 1fr)); gap: 1rem; }
label { display: block; font-weight: 600; }
label small { display: block; font-weight: 400; opacity: .75; }
input, select, button { font: inherit; width: 100%; padding: .4rem; box-sizing: border-box; }
button { grid-column: 1 / -1; padding: .7rem; cursor: pointer; }
#said { border-top: 1px solid var(--line); margin-top: 1.5rem; padding-top: 1rem; }
#answer { font-size: 1.6rem; margin: 0; }
table { border-collapse: collapse; width: 100%; }
td, th { text-align: left; padding: .15rem .5rem .15rem 0; }
td.bar { width: 45%; }
td.bar div { height: .8rem; border-radius: 2px; background: var(--good); }
td.bar div.less { background: var(--bad); }
"""
SCRIPT = """
const about = JSON.parse(document.getElementById("about").textContent);
const form = document.querySelector("form"), said = document.getElementById("said");
function read() {
  const row = {};
  for (const input of about.inputs) {
    const text = form.elements[input.field].value.trim();
    if (text === "") { if (input.nullable) row[input.name] = null; continue; }
    row[input.name] = input.type === "boolean" ? text === "true"
      : input.type === "integer" || input.type === "number" ? Number(text) : text;
  }
  return row;
}
function cell(row, text, kind) {
  const made = document.createElement(kind || "td");
  made.textContent = text; row.append(made); return made;
}
function show(found) {
  const answer = found.answers[0], score = answer[about.answer];
  const words = typeof score === "object"
    ? Object.entries(score).map(([k, v]) => k + " " + v).join(", ") : String(score);
  document.getElementById("answer").textContent = about.answer + ": " + words;
  document.getElementById("decision").textContent =
    answer.decision ? "Recommended: " + answer.decision + "."
    : answer.recommends !== undefined ? "Recommended: " + answer.recommends + "." : "";
  const body = document.querySelector("tbody"), parts = answer.explanation.contributions;
  body.replaceChildren();
  const most = Math.max(...Object.values(parts).map(Math.abs), 1e-12);
  for (const [name, part] of Object.entries(parts)) {
    const row = document.createElement("tr");
    cell(row, name, "th"); cell(row, (part > 0 ? "+" : "") + part);
    const bar = document.createElement("div");
    bar.style.width = 100 * Math.abs(part) / most + "%";
    if (part < 0) bar.className = "less";
    const last = cell(row, ""); last.className = "bar"; last.append(bar); body.append(row);
  }
  document.getElementById("scale").textContent = "On the scale: " + answer.explanation.scale
    + ", from " + answer.explanation.start + " for what is usual. Version " + found.version + ".";
}
form.addEventListener("submit", async (event) => {
  event.preventDefault();
  const headers = {"content-type": "application/json"};
  if (about.keys) headers.authorization = "Bearer " + form.elements["key of the service"].value;
  const failed = document.getElementById("failed");
  try {
    const reply = await fetch("answers?explain=true",
      {method: "POST", headers, body: JSON.stringify(read())});
    const found = await reply.json();
    failed.textContent = reply.ok ? "" : found.error;
    said.hidden = !reply.ok;
    if (reply.ok) show(found);
  } catch (error) { failed.textContent = "No answer came: " + error; said.hidden = true; }
});
"""


def demo(about: About, keys: bool) -> tuple[str, str]:
    """The page, and its content security policy: what is on it by its digest, and its service."""
    golden = about.golden[0]["request"] if about.golden else {}
    shown = [item for item in about.inputs if item.feature]
    known = {
        "answer": about.answer,
        "keys": keys,
        "inputs": [
            {"field": f"f{at}", "name": i.name, "type": i.type, "nullable": i.nullable}
            for at, i in enumerate(shown)
        ],
    }
    data = json.dumps(known, ensure_ascii=False).replace("<", "\\u003c")
    fields = [_field(f"f{at}", item, golden.get(item.name)) for at, item in enumerate(shown)]
    if keys:
        box = '<input name="key of the service" type="password" autocomplete="off" required>'
        fields.insert(0, f"<label>Key<small>of this service</small>{box}</label>")
    text = f"""<!doctype html>
<html lang="en"><meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{escape(about.project)}</title><style>{STYLE}</style>
<main><h1>{escape(about.project)}</h1><p>{escape(about.description)}</p>
<form>{"".join(fields)}<button>Ask</button></form>
<p id="failed" role="alert"></p>
<section id="said" aria-live="polite" hidden><p id="answer"></p><p id="decision"></p>
<h2>Why</h2><table><thead><tr><th>input</th><th>adds</th><th></th></tr></thead><tbody></tbody>
</table><p id="scale"></p></section></main>
<script type="application/json" id="about">{data}</script><script>{SCRIPT}</script></html>
"""
    policy = (
        f"default-src 'none'; script-src '{_digest(SCRIPT)}'; style-src '{_digest(STYLE)}'; "
        "connect-src 'self'; base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    )
    return text, policy


def _digest(text: str) -> str:
    return f"sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}"


def _field(name: str, item: Input, value: object) -> str:
    words = item.description + (f", {item.unit}" if item.unit else "")
    needed = "" if item.nullable else " required"
    written = "" if value is None else str(value).lower() if isinstance(value, bool) else str(value)
    if item.type == "boolean" or item.values:
        options = ["true", "false"] if item.type == "boolean" else list(item.values or ())
        if item.nullable:
            options = ["", *options]
        listed = "".join(
            f'<option value="{escape(option)}"{" selected" if option == written else ""}>'
            f"{escape(option) or '(none)'}</option>"
            for option in options
        )
        box = f'<select name="{name}"{needed}>{listed}</select>'
    else:
        number = item.type in ("integer", "number")
        limits = "".join(
            f' {side}="{limit:g}"'
            for side, limit in (("min", item.min), ("max", item.max))
            if number and limit is not None
        )
        kind = "number" if number else "text"
        step = f' step="{"1" if item.type == "integer" else "any"}"' if number else ""
        box = f'<input name="{name}" type="{kind}" value="{escape(written)}"{limits}{step}{needed}>'
    return f"<label>{escape(item.name)}<small>{escape(words)}</small>{box}</label>"
