"""Approvals: a line counts in the change that adds it, for exactly what it names."""

from __future__ import annotations

from pathlib import Path

import pytest
import yaml

from paymesh.errors import ConfigError
from paymesh.mesh import repository_root
from paymesh.policy import approvals
from paymesh.policy.approvals import ALLOW, DENY, Approvals, Names

from . import matrices

NAMES = Names(
    frozenset({"gateway", "payments"}),
    frozenset({"/a.B/C", "links.use"}),
    frozenset({"any", "none", "customer", "operator", "expired"}),
)
LINE = {
    "change": "allow",
    "caller": "gateway",
    "rpc": "/a.B/C",
    "as": "customer",
    "why": "They ask.",
    "by": "Ada",
}

READ = {
    "change": "reads",
    "input": "attributes.request.http.headers.x-debug",
    "why": "They ask.",
    "by": "Ada",
}


def _tree(directory: Path, document: object) -> Path:
    for part in ("paymesh", "system"):
        (directory / "policies" / part).mkdir(parents=True, exist_ok=True)
    (directory / approvals.FILE).write_text(yaml.safe_dump(document), encoding="utf-8")
    return directory


def _between(tmp_path: Path, before: list[object], after: list[object]) -> Approvals:
    base = _tree(tmp_path / "base", {"approvals": before})
    return approvals.between(base, _tree(tmp_path / "head", {"approvals": after}), NAMES)


def test_the_committed_file_is_valid() -> None:
    """Every line of policies/approvals.yaml is an approval, also those of earlier changes."""
    root = repository_root()
    assert approvals.between(root, root, NAMES).lines == ()


def test_only_added_lines_count(tmp_path: Path) -> None:
    """What stood there before is not of this change; the same with another reason is."""
    again = LINE | {"why": "They ask again."}
    found = _between(tmp_path, [LINE], [LINE, again])
    assert [line.why for line in found.lines] == ["They ask again."]
    assert not _between(tmp_path, [LINE], [LINE]).covers(ALLOW, "gateway", "/a.B/C", ["customer"])


def test_a_base_without_the_file_has_no_lines(tmp_path: Path) -> None:
    """A revision older than the file approves nothing, and every line is new."""
    base = _tree(tmp_path / "base", {})
    (base / approvals.FILE).unlink()
    head = _tree(tmp_path / "head", {"approvals": [LINE]})
    assert len(approvals.between(base, head, NAMES).lines) == 1


@pytest.mark.parametrize(
    ("role", "roles", "covered"),
    [
        ("customer", ["customer"], True),
        ("customer", ["customer", "operator"], False),
        ("customer", ["operator"], False),
        ("customer", [], False),
        ("none", [], True),
        ("none", ["customer"], False),
        ("any", [], True),
        ("any", ["operator"], True),
        ("any", ["expired"], False),
        ("any", ["forged"], False),
        ("expired", ["expired"], True),
    ],
)
def test_a_line_is_about_its_end_users(
    tmp_path: Path, role: str, roles: list[str], *, covered: bool
) -> None:
    """A role, nobody, or anybody whose token is good: bad tokens only by their own name."""
    found = _between(tmp_path, [], [LINE | {"as": role}])
    assert found.covers(ALLOW, "gateway", "/a.B/C", roles) is covered


def test_of_several_roles_each_is_named(tmp_path: Path) -> None:
    """Who may do more than a customer is not let in by a line about customers alone."""
    lines: list[object] = [LINE | {"as": role} for role in ("customer", "operator")]
    found = _between(tmp_path, [], lines)
    assert found.covers(ALLOW, "gateway", "/a.B/C", ["operator", "customer"])
    assert not found.covers(ALLOW, "gateway", "/a.B/C", ["operator", "auditor"])


def test_a_line_is_about_one_caller_rpc_and_direction(tmp_path: Path) -> None:
    """Nothing else is approved by the way."""
    found = _between(tmp_path, [], [LINE])
    assert found.covers(ALLOW, "gateway", "/a.B/C", ["customer"])
    assert not found.covers(DENY, "gateway", "/a.B/C", ["customer"])
    assert not found.covers(ALLOW, "payments", "/a.B/C", ["customer"])
    assert not found.covers(ALLOW, "gateway", "links.use", ["customer"])


def test_a_line_about_a_read_counts_in_the_change_that_adds_it(tmp_path: Path) -> None:
    """For its place by name, and for no call."""
    found = _between(tmp_path, [LINE], [LINE, READ])
    assert found.covers_read("attributes.request.http.headers.x-debug")
    assert not found.covers_read("attributes.request.http.headers")
    assert found.lines == ()
    assert not _between(tmp_path, [READ], [READ]).covers_read(READ["input"])


@pytest.mark.parametrize(
    ("document", "said"),
    [
        ([], "must hold `approvals:`"),
        ({"approvals": [], "more": 1}, "must hold `approvals:`"),
        ({"approvals": "yes"}, "must be a list"),
        ({"approvals": ["gateway"]}, "line 1 of the list must have"),
        ({"approvals": [{k: v for k, v in LINE.items() if k != "why"}]}, "lacks `why`"),
        ({"approvals": [LINE | {"by": " "}]}, "lacks `by`"),
        ({"approvals": [LINE | {"by": 7}]}, "lacks `by`"),
        ({"approvals": [LINE | {"note": "x"}]}, "has note, which means nothing"),
        ({"approvals": [LINE | {"change": "permit"}]}, "`change` must be allow, deny or reads"),
        ({"approvals": [LINE | {"caller": "gatway"}]}, "`caller: gatway` does not exist.*gateway"),
        ({"approvals": [LINE | {"rpc": "/a.B/D"}]}, "`rpc: /a.B/D` does not exist"),
        ({"approvals": [LINE | {"as": "admin"}]}, "`as: admin` does not exist"),
        ({"approvals": [LINE, LINE]}, "stands twice"),
        ({"approvals": [READ | {"rpc": "/a.B/C"}]}, "has rpc, which means nothing"),
        ({"approvals": [{k: v for k, v in READ.items() if k != "input"}]}, "lacks `input`"),
        ({"approvals": [READ | {"input": "/attributes/request"}]}, "is no place"),
        ({"approvals": [READ | {"input": "input.parsed_body.x"}]}, "is no place"),
        ({"approvals": [READ | {"input": "all headers"}]}, "is no place"),
        ({"approvals": [READ, READ]}, "a line about attributes.*x-debug stands twice"),
    ],
)
def test_a_wrong_line_is_refused_with_its_mend(tmp_path: Path, document: object, said: str) -> None:
    """A line that could be misread approves nothing: it is an error that says what is wrong."""
    base, head = _tree(tmp_path / "base", {"approvals": []}), _tree(tmp_path / "head", document)
    with pytest.raises(ConfigError, match=said):
        approvals.between(base, head, NAMES)


def test_a_record_of_something_that_is_gone_may_stay(tmp_path: Path) -> None:
    """A line of an earlier change about an RPC that is no more is a record, not an error."""
    old = LINE | {"rpc": "/old.Service/Gone"}
    assert _between(tmp_path, [old], [old]).lines == ()


def test_lines_are_found_against_a_revision(checkout: Path) -> None:
    """`added` compares with git and knows callers, RPCs and roles of both states."""
    matrices.commit(checkout)
    line = LINE | {"rpc": matrices.ENTRIES}
    matrices.edit(
        checkout, str(approvals.FILE), "approvals: []", yaml.safe_dump({"approvals": [line]})
    )
    found = approvals.added(checkout, "HEAD")
    assert found.covers(ALLOW, "gateway", matrices.ENTRIES, ["customer"])
    matrices.commit(checkout)
    assert approvals.added(checkout, "HEAD").lines == ()
