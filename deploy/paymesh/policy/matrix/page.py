"""The matrix as one HTML page: nothing is loaded from anywhere, everything is escaped."""

from __future__ import annotations

import base64
import hashlib
from collections.abc import Iterator
from html import escape

from paymesh.policy.matrix.evaluate import Matrix
from paymesh.policy.matrix.permissions import Part, merged, parts, who
from paymesh.policy.matrix.plan import Plan

_STYLE = """
:root { color-scheme: light dark; font: 15px/1.45 system-ui, sans-serif; }
body { margin: 2rem auto; max-width: 90rem; padding: 0 1rem; }
form { display: flex; flex-wrap: wrap; gap: .8rem; margin: 1rem 0; align-items: end; }
label { display: grid; font-size: .85rem; }
input, select { font: inherit; padding: .25rem .4rem; }
table { border-collapse: collapse; width: 100%; }
th, td { text-align: left; vertical-align: top; padding: .3rem .6rem; }
th, td { border-bottom: 1px solid #8884; }
th { position: sticky; top: 0; background: Canvas; }
td:nth-child(2), td:nth-child(4) { font-family: ui-monospace, monospace; font-size: .9em; }
tr.allowed td:nth-child(4) { color: light-dark(#0a6b2d, #6fdc8c); font-weight: 600; }
tr[hidden] { display: none; }
@media print {
  form { display: none; }
  body { margin: 0; max-width: none; font-size: 9pt; }
  th { position: static; }
  thead { display: table-header-group; }
  tr { break-inside: avoid; }
}
"""

_SCRIPT = """
const form = document.querySelector("form");
const rows = [...document.querySelectorAll("tbody tr")];
const shown = document.querySelector("output");
function filter() {
  const words = form.text.value.toLowerCase().split(/\\s+/).filter(Boolean);
  let count = 0;
  for (const row of rows) {
    const text = row.textContent.toLowerCase();
    row.hidden = !(
      words.every((word) => text.includes(word)) &&
      (!form.caller.value || row.cells[0].textContent === form.caller.value) &&
      (!form.rpc.value || row.cells[1].textContent === form.rpc.value) &&
      (!form.user.value || row.dataset.users.split(" ").includes(form.user.value)) &&
      (!form.answer.value || row.className === form.answer.value)
    );
    count += row.hidden ? 0 : 1;
  }
  shown.textContent = `${count} of ${rows.length}`;
}
form.addEventListener("input", filter);
form.addEventListener("submit", (event) => event.preventDefault());
filter();
"""


_ABOUT = (
    "What the policy answers to every caller, RPC, kind of end user and class of message;"
    " docs/access-matrix.md says what they are."
)


def page(header: str, plan: Plan, matrix: Matrix) -> str:
    """The page; a row for each caller, RPC and answer. `header` says where it comes from."""
    rows = merged(part for cell in matrix.values() for part in parts(cell))
    policy = f"default-src 'none'; style-src {_digest(_STYLE)}; script-src {_digest(_SCRIPT)}"
    return "\n".join(
        [
            "<!DOCTYPE html>",
            f"<!-- {escape(header)} -->",
            '<html lang="en"><head><meta charset="utf-8"><title>Access matrix</title>',
            f'<meta http-equiv="Content-Security-Policy" content="{escape(policy)}">',
            '<meta name="viewport" content="width=device-width">',
            f"<style>{_STYLE}</style></head><body>",
            "<h1>Access matrix</h1>",
            f"<p>{_ABOUT}</p>",
            *_form(plan),
            "<table><thead><tr><th>Caller<th>RPC or action<th>End user<th>Answer<th>When<th>Grant",
            "</tr></thead><tbody>",
            *(_row(plan, part) for part in rows),
            "</tbody></table>",
            f"<script>{_SCRIPT}</script></body></html>",
            "",
        ]
    )


def _form(plan: Plan) -> Iterator[str]:
    choices = {
        "caller": ("Caller", list(plan.callers)),
        "rpc": ("RPC or action", [target.name for target in plan.targets]),
        "user": ("End user", [user.name for user in plan.users]),
        "answer": ("Answer", ["allowed", "refused"]),
    }
    yield '<form><label>Words<input type="search" name="text" autofocus></label>'
    for name, (title, values) in choices.items():
        options = "".join(f"<option>{escape(value)}</option>" for value in values)
        yield (
            f'<label>{title}<select name="{name}"><option value="">any</option>{options}'
            "</select></label>"
        )
    yield "<output></output></form>"


def _row(plan: Plan, part: Part) -> str:
    kind = "allowed" if part.answer.is_allowed else "refused"
    cells = (
        part.caller,
        part.target.name,
        who(plan, part.users),
        part.answer.reason,
        part.when,
        part.answer.grant,
    )
    users = escape(" ".join(part.users))
    columns = "".join(f"<td>{escape(text)}</td>" for text in cells)
    return f'<tr class="{kind}" data-users="{users}">{columns}</tr>'


def _digest(text: str) -> str:
    return f"'sha256-{base64.b64encode(hashlib.sha256(text.encode()).digest()).decode()}'"
