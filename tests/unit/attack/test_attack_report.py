"""What is said of graphs: exactly them, in blocks, as JSON, Markdown, tables and pictures."""

from __future__ import annotations

import json
import re
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from paymesh.attack import metrics
from paymesh.attack.model import ARMS, Arm, Graph
from paymesh.attack.report import committed, difference, document, markdown, picture, table
from paymesh.attack.report.blocks import blocks
from paymesh.attack.report.result import Row, claim, rows, seconds_in_words
from paymesh.errors import ConfigError
from unit.attack.attack_graphs import BALANCE, CELLS, MESH, NARROW, OPEN, UNIVERSE, edge, result

_GRAPHS = st.frozensets(st.sampled_from(CELLS), max_size=60)
_MANY = settings(max_examples=40, deadline=None)
_FIVE: dict[Arm, Graph] = {
    "A": OPEN,
    "B": OPEN,
    "C": NARROW | {edge("inside/none/none", "ledger", BALANCE)},
    "D": NARROW,
    "E": NARROW,
}


@_MANY
@given(_GRAPHS, st.booleans())
def test_blocks_are_the_cells_each_once(graph: Graph, merge: bool) -> None:  # noqa: FBT001
    """Whatever the cells, the blocks together have each of them once and no other."""
    found = [cell for block in blocks(UNIVERSE, graph, merge=merge) for cell in block.cells()]
    assert sorted(found) == sorted(graph)


@_MANY
@given(_GRAPHS, _GRAPHS)
def test_a_document_is_read_back_as_it_was(before: Graph, after: Graph) -> None:
    """The graphs come back from the committed text; the text is the same each time."""
    found = result({"A": before, "E": after})
    text = document.text("made by a test", document.document(found))
    assert text == document.text("made by a test", document.document(found))
    committed = document.parse(text, "a test's")
    assert committed.graphs == {"A": before, "E": after}
    assert committed.whole == {"_comment": "made by a test", **document.document(found)}


@_MANY
@given(_GRAPHS, _GRAPHS)
def test_a_difference_names_exactly_what_is_new_and_gone(before: Graph, after: Graph) -> None:
    """Old plus new minus gone is the new graph, and each edge is counted in one line."""
    (found,) = difference.compare({"E": before}, {"E": after})
    assert (before | found.new) - found.gone == after
    assert not found.new & before
    assert found.gone <= before
    counts = {"+": 0, "-": 0}
    for line in difference.lines(UNIVERSE, found):
        several = re.search(r"\((\d+) edges\)$", line)
        counts[line[0]] += int(several[1]) if several else 1
    assert counts == {"+": len(found.new), "-": len(found.gone)}


def test_a_difference_is_between_arms_that_both_have() -> None:
    """An arm that was looked at once only is no difference."""
    assert difference.compare({"A": OPEN, "B": OPEN}, {"E": NARROW}) == []


def test_a_document_that_is_none_is_named(tmp_path: Path) -> None:
    """A file that is missing, or no result, is an error with the file's name in it."""
    for text in (None, "{}", "[]", "no json", '{"identities": 1}'):
        path = tmp_path / "found.json"
        path.unlink(missing_ok=True)
        if text is not None:
            path.write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=re.escape(str(path))):
            document.read(path)


@pytest.mark.parametrize(
    ("values", "said"),
    [
        ((1000, 1000, 381, 380, 0), "between C (-61 %) and D (-62 %)"),
        ((1000, 380, 10, 10, 10), "between A and B (-62 %)"),
        ((1000, 900, 900, 900, 621), "not reached: -37 % at E"),
        ((10, 12, 12, 12, 12), "not reached: +20 % at E"),
        ((0, 0, 0, 0, 0), "nothing to reduce"),
    ],
)
def test_the_claim_lies_where_the_count_first_falls_below(
    values: tuple[int, ...], said: str
) -> None:
    """62 % is reached by the first arm with at most 38 % of A's count, and never rounded up."""
    assert claim(Row("a count", dict(zip(ARMS, values, strict=True)))) == said


def test_a_reduction_is_rounded_down() -> None:
    """61.9 % fewer is printed as 61 %, an increase of 0.1 % as 1 %."""
    row = Row("a count", {"A": 1000, "D": 381, "E": 1001})
    assert (row.reduction("D"), row.reduction("E")) == (61, -1)


def test_the_table_has_each_count_of_each_arm() -> None:
    """Every row of the table stands on the terminal, in Markdown and in JSON, with its counts."""
    found = result(_FIVE)
    lines = "\n".join(table.table(found))
    page = markdown.full(found)
    for row in rows(found.figures):
        assert row.name in lines
        assert row.name in page
        for arm in ARMS:
            line = rf"^ *{re.escape(row.name)} .*\b{row.values[arm]}\b"
            assert re.search(line, lines, re.MULTILINE)
    assert json.loads(json.dumps(document.document(found)))["table"][0]["counts"] == {
        arm: len(graph) for arm, graph in _FIVE.items()
    }


@_MANY
@given(_GRAPHS)
def test_every_remaining_edge_stands_with_its_reason(graph: Graph) -> None:
    """M5's lines, on the terminal, in Markdown and in JSON, count each edge of E once, under its
    reason.
    """
    found = result({"E": graph})
    destinations = {f"Because of {cell.target.destination}." for cell in graph}
    lines = list(table.remaining(found))
    assert {line.strip().rpartition(" (")[0] for line in lines if "→" not in line} == destinations
    assert sum(int(line.split()[-2].strip("(")) for line in lines if "→" in line) == len(graph)
    _, _, page = markdown.full(found).partition("### M5")
    counts = re.findall(r"^\| .* \| (\d+) \|  \|$", page, re.MULTILINE)
    assert sum(map(int, counts)) == len(graph)
    committed = document.document(found)["remaining"]
    assert sum(line["edges"] for line in committed) == len(graph)
    assert {line["why"] for line in committed} == destinations


def test_only_what_is_between_the_markers_is_replaced() -> None:
    """A document keeps its own words; without the two markers it is refused."""
    page = f"before\n{markdown.BEGIN}\nold\n{markdown.END}\nafter\n"
    assert markdown.replaced(page, "new", "x.md") == page.replace("old", "new")
    for wrong in ("no markers", markdown.BEGIN, f"{markdown.END}{markdown.BEGIN}", page + page):
        with pytest.raises(ConfigError, match=r"x\.md"):
            markdown.replaced(wrong, "new", "x.md")


def test_the_picture_shows_every_line_between_boxes_that_are_there() -> None:
    """Each start with edges has a line to what they lead to, named with the count; it is XML."""
    found = result(_FIVE)
    text = picture.picture(committed.HEADER, MESH, found)
    root = ET.fromstring(text)  # noqa: S314 — our own
    titles = [element.text for element in root.iter("{http://www.w3.org/2000/svg}title")]
    expected = [
        f"{start} → {end}: {count}"
        for graph in (OPEN, NARROW)
        for (start, end), count in picture.lines(MESH, graph).items()
        if start != end
    ]
    assert sorted(filter(None, titles)) == sorted(expected)
    assert "prefers-color-scheme:dark" in text
    assert text == picture.picture(committed.HEADER, MESH, found)


def test_the_pictures_lines_are_the_minimal_edges() -> None:
    """What leads to workloads is M1 minimal of them, each edge once."""
    minimal = metrics.minimal(OPEN)
    leading = picture.lines(MESH, OPEN)
    to_workloads = sum(n for (_, end), n in leading.items() if end in MESH.workloads)
    assert to_workloads == len([c for c in minimal if c.target.destination in MESH.workloads])


@pytest.mark.parametrize(
    ("seconds", "said"),
    [
        (None, "no end of its own"),
        (0, "0 s"),
        (59, "59 s"),
        (900, "15 min"),
        (4505, "1 h 15 min 5 s"),
        (86400, "1 d"),
    ],
)
def test_a_lifetime_is_said_in_whole_units(seconds: int | None, said: str) -> None:
    """Nothing is rounded away, and what has no end is said to have none."""
    assert seconds_in_words(seconds) == said
