"""YAML is read as PyYAML's safe loader reads it, and double keys not at all."""

from __future__ import annotations

import subprocess
from typing import Any

import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from paymesh import yamltext
from paymesh.mesh import repository_root

_KINDS = (
    "yes no on null ~ 1 0o17 017 0x1f 1_000 1:30 1.5 1e3 .inf -.INF .nan 2026-01-31"
    " 2026-01-31T12:00:00Z true = << | é"
)
WORDS = st.one_of(
    st.text(max_size=20),
    st.sampled_from(_KINDS.split()),
)
VALUES = st.recursive(
    st.one_of(
        st.none(),
        st.booleans(),
        st.integers(),
        st.floats(allow_nan=False),
        st.dates(),
        WORDS,
    ),
    lambda inner: st.one_of(st.lists(inner, max_size=4), st.dictionaries(WORDS, inner, max_size=4)),
    max_leaves=20,
)


def same(found: Any, wanted: Any) -> bool:
    """Equal, and of the same types all the way down."""
    return repr(found) == repr(wanted)


@given(VALUES, st.sampled_from([True, False, None]), st.sampled_from([None, '"']))
def test_what_is_written_is_read_as_the_safe_loader_reads_it(
    value: Any, flow: Any, style: str | None
) -> None:
    """In block and in flow style, with quotes and without."""
    text = yaml.safe_dump(value, default_flow_style=flow, default_style=style, allow_unicode=True)
    assert same(yamltext.load(text), yaml.safe_load(text))
    assert same(yamltext.load(text.encode()), yaml.safe_load(text))


@given(WORDS.filter(lambda word: word.isprintable() and word < "\ud800"))
def test_a_word_without_quotes_means_the_same(word: str) -> None:
    """Whatever kind it looks like; what is no YAML for one is none for the other."""
    text = f"a: {word}\nb: [{word}]\n"
    try:
        wanted = yaml.load(text, Loader=yaml.CSafeLoader)
    except (yaml.YAMLError, ValueError) as error:
        with pytest.raises(type(error)):
            yamltext.load(text)
    else:
        assert same(yamltext.load(text), wanted)


@pytest.mark.parametrize(
    "text",
    [
        "",
        "# nothing",
        "---\n...\n",
        "a: &x [1]\nb: *x\n",
        "base: &b {x: 1, y: 2}\nc: {<<: *b, y: 3}\n",
        "c: {<<: [{x: 1}, {x: 2}], z: 3}\n",
        "a: !!str 1\n",
        "a: !!set {b, c}\n",
        "? [1, 2]\n",
        "a: |\n  lines\n  stay\nb: >\n  are\n  joined\n",
        "a:\nb:\n",
        "- 1\n- - 2\n  - {}\n",
        "\ufeffa: 1\n",
    ],
)
def test_the_unusual_is_read_alike(text: str) -> None:
    """Anchors, tags, merged and compound keys, empty documents."""
    try:
        wanted = yaml.safe_load(text)
    except yaml.YAMLError:
        with pytest.raises(yaml.YAMLError):
            yamltext.load(text)
    else:
        assert same(yamltext.load(text), wanted)


def test_every_yaml_file_of_the_checkout_is_read_alike() -> None:
    """Files that people wrote, with all that they make use of."""
    listed = subprocess.run(
        ["git", "ls-files", "*.yaml"],  # noqa: S607 — the user's own
        cwd=repository_root(),
        capture_output=True,
        text=True,
        check=True,
    ).stdout.split()
    for name in listed:
        text = (repository_root() / name).read_text("utf-8")
        try:
            wanted = yaml.load(text, Loader=yaml.CSafeLoader)
        except yaml.YAMLError:
            continue  # several documents in one file, or a template
        assert same(yamltext.load(text), wanted), name


@pytest.mark.parametrize(
    "text",
    [
        "a: 1\na: 2\n",
        "- {a: 1, b: 2, a: 3}\n",
        "yes: 1\ntrue: 2\n",
        '"a": 1\na: 2\n',
        "x: &x 1\na: 1\na: 2\n",
        "b: &b {x: 1}\nc: {<<: *b, x: 2, x: 3}\n",
    ],
)
def test_a_key_that_stands_twice_is_an_error(text: str) -> None:
    """A reviewer reads the first, a parser takes the last; with anchors in the file too."""
    with pytest.raises(yaml.YAMLError, match="stands twice"):
        yamltext.load(text)


@pytest.mark.parametrize(
    "text", ["a: [", "a: b: c", "\t- a", "a: 1\n---\nb: 2\n", "[" * 5000, "!x a", "\x00"]
)
def test_what_is_no_single_document_is_an_error(text: str) -> None:
    """Never another exception, however deep it is nested."""
    with pytest.raises(yaml.YAMLError):
        yamltext.load(text)
