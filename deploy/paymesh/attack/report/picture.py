"""The graph of arm A and of arm E side by side, as SVG; docs/attack-paths.svg."""

from __future__ import annotations

import dataclasses
import math
from collections import Counter
from collections.abc import Iterator

from paymesh.attack import metrics, model
from paymesh.attack.model import INSIDE, OPERATOR, OUTSIDE, Arm, Cell, Graph
from paymesh.attack.report import svg
from paymesh.attack.report.result import ARM_NAMES, Result
from paymesh.mesh import Mesh

_PANEL_WIDTH, _WIDTH, _HEIGHT = 590, 1200, 500
_TOP, _NODE_WIDTH, _NODE_HEIGHT = 76, 136, 36
_COLUMNS = (14, 224, 440)
_BOTTOM = 452
USERS = "users"

_STYLE = """
.bg{fill:#fff}.t{fill:#1f2933}.m{fill:#52606d}.frame{fill:none;stroke:#9aa5b1}
.n rect{stroke:#52606d}
.start rect{fill:#f0f4f8}.workload rect{fill:#d9e8fb}.jewel rect{fill:#fde6c8}
.none{opacity:.45}.e{fill:none;stroke:#2f6fbf;opacity:.55}.e.j{stroke:#c2410c}
.e:hover{opacity:1}
@media (prefers-color-scheme:dark){
.bg{fill:#0d1117}.t{fill:#e6edf3}.m{fill:#9aa5b1}.frame{stroke:#52606d}.n rect{stroke:#9aa5b1}
.start rect{fill:#1f2933}.workload rect{fill:#12345c}.jewel rect{fill:#5c3a0a}
.e{stroke:#6ea8f0}.e.j{stroke:#ff8f4d}}
"""
_DESCRIPTION = (
    "Who can make what execute, with a perimeter alone and with everything: starts on the left,"
    " workloads in the middle, crown jewels on the right; the wider a line, the more edges"
)
_LEGEND = """\
A line: edges of M1 minimal from one start to one workload (blue) or crown jewel (orange). The \
more, the wider; how many lead to it stands in each box.
users: outside, with the token of an end user. Stolen, expired and foreign certificates are tried \
from outside and from inside.\
""".splitlines()


@dataclasses.dataclass(frozen=True)
class _Node:
    name: str
    kind: str
    x: float
    y: float

    @property
    def left(self) -> tuple[float, float]:
        return self.x, self.y + _NODE_HEIGHT / 2

    @property
    def right(self) -> tuple[float, float]:
        return self.x + _NODE_WIDTH, self.y + _NODE_HEIGHT / 2


def picture(header: str, mesh: Mesh, result: Result, before: Arm = "A", after: Arm = "E") -> str:
    """The whole file. `header` says where it comes from."""
    parts = [svg.element("rect", class_="bg", width=_WIDTH, height=_HEIGHT)]
    for arm, x in ((before, 0), (after, _WIDTH - _PANEL_WIDTH)):
        parts += _panel(mesh, result, arm, x)
    parts += [
        svg.text(line, 14, _HEIGHT - 24 + 16 * number, class_="m", font_size=11)
        for number, line in enumerate(_LEGEND)
    ]
    return svg.document(header, (_WIDTH, _HEIGHT), _STYLE, _DESCRIPTION, parts)


def lines(mesh: Mesh, graph: Graph) -> Counter[tuple[str, str]]:
    """How many edges of M1 minimal lead from each start to each workload and jewel."""
    found: Counter[tuple[str, str]] = Counter()
    for cell in metrics.minimal(graph):
        if cell.target.destination in mesh.workloads:
            found[_start(cell), cell.target.destination] += 1
        if jewel := model.jewel(cell.target):
            found[_start(cell), jewel] += 1
    return found


def _start(cell: Cell) -> str:
    if cell.state.position == OUTSIDE and cell.state.user:
        return USERS
    return cell.state.position


def _panel(mesh: Mesh, result: Result, arm: Arm, x: float) -> Iterator[str]:
    figures = result.figures[arm]
    found = lines(mesh, result.graphs[arm])
    nodes = _nodes(mesh, x)
    yield svg.element(
        "rect", class_="frame", x=x + 4, y=8, width=_PANEL_WIDTH - 8, height=_BOTTOM - 4, rx=10
    )
    yield svg.text(
        f"{arm} {ARM_NAMES[arm]}", x + 14, 32, class_="t", font_weight="bold", font_size=16
    )
    counts = f"{figures.direct} edges, {figures.minimal} of them minimal"
    counts += f"; {figures.paths} paths to crown jewels"
    yield svg.text(counts, x + 14, 54, class_="m")
    for (start, end), count in sorted(found.items(), key=lambda one: (-one[1], one[0])):
        if start != end:
            yield _edge(nodes[start], nodes[end], count)
    for node in nodes.values():
        leading = sum(count for (start, end), count in found.items() if node.name == end != start)
        yield _box(node, leading, starts={start for start, _ in found})


def _nodes(mesh: Mesh, x: float) -> dict[str, _Node]:
    columns = (
        ("start", [OUTSIDE, USERS, INSIDE, OPERATOR]),
        ("workload", list(mesh.workloads)),
        ("jewel", metrics.jewels(mesh)),
    )
    found = {}
    for (kind, names), left in zip(columns, _COLUMNS, strict=True):
        room = (_BOTTOM - 12 - _TOP) / len(names)
        for number, name in enumerate(names):
            y = _TOP + number * room + (room - _NODE_HEIGHT) / 2
            found[name] = _Node(name, kind, x + left, y)
    return found


def _box(node: _Node, leading: int, starts: set[str]) -> str:
    middle = node.x + _NODE_WIDTH / 2
    is_reached = bool(leading) or node.name in starts
    words = [
        svg.text(node.name.removeprefix("writing "), middle, node.y + 16, class_="t", font_size=12)
    ]
    if node.kind == "start":
        words = [svg.text(node.name, middle, node.y + 23, class_="t", font_weight="bold")]
    else:
        words.append(svg.text(str(leading), middle, node.y + 30, class_="m", font_size=11))
    return svg.element(
        "g",
        svg.element("rect", x=node.x, y=node.y, width=_NODE_WIDTH, height=_NODE_HEIGHT, rx=7),
        *words,
        class_=f"n {node.kind}" + ("" if is_reached else " none"),
        text_anchor="middle",
    )


def _edge(start: _Node, end: _Node, count: int) -> str:
    (x1, y1), (x2, y2) = start.right, end.left
    if start.kind == end.kind:  # round the outside of their column
        x2, y2 = end.right[0], y2 + 6
        bend = x1 + 18 + abs(y2 - y1) / 6
    else:
        bend = (x1 + x2) / 2
    return svg.element(
        "path",
        svg.title(f"{start.name} → {end.name}: {count}"),
        class_="e j" if end.kind == "jewel" else "e",
        d=f"M{x1:.0f} {y1:.0f}C{bend:.0f} {y1:.0f} {bend:.0f} {y2:.0f} {x2:.0f} {y2:.0f}",
        stroke_width=round(0.5 + math.sqrt(count) / 2, 1),
    )
