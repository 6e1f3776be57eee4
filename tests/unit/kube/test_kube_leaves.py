"""Server certificates in Secrets."""

from __future__ import annotations

import datetime as dt
from pathlib import Path

import pytest

from paymesh.kube import leaves
from paymesh.runtime import pki

_NAMES = ["gateway.example", "localhost"]


@pytest.fixture
def edge(tmp_path: Path) -> pki.Authority:
    """Ours."""
    return pki.ensure_authority(tmp_path, "edge")


def test_a_good_one_is_kept(edge: pki.Authority) -> None:
    """Byte by byte, so that no pod restarts for nothing."""
    made = leaves.leaf(edge, {}, _NAMES)
    assert leaves.leaf(edge, made, _NAMES) == made


def test_one_for_other_names_is_replaced(edge: pki.Authority) -> None:
    """A name that was added is in the next one."""
    made = leaves.leaf(edge, {}, _NAMES)
    assert leaves.leaf(edge, made, [*_NAMES, "more.example"]) != made


def test_one_near_its_end_is_renewed(edge: pki.Authority, monkeypatch: pytest.MonkeyPatch) -> None:
    """In the last third of its life, not before."""
    monkeypatch.setattr(pki, "_LEAF_LIFE", dt.timedelta(days=200))
    made = leaves.leaf(edge, {}, _NAMES)
    assert leaves.leaf(edge, made, _NAMES) == made
    monkeypatch.setattr(pki, "_LEAF_LIFE", dt.timedelta(days=700))
    assert leaves.leaf(edge, made, _NAMES) != made


def test_one_of_another_authority_stays(edge: pki.Authority, tmp_path: Path) -> None:
    """A company's own certificate is the company's business, also with other names."""
    corporate = pki.ensure_authority(tmp_path, "corporate")
    brought = leaves.leaf(corporate, {}, ["pay.example"])
    assert leaves.is_foreign(edge, brought["tls.crt"])
    assert leaves.leaf(edge, brought, _NAMES) == brought


def test_one_of_an_authority_of_ours_that_was_lost_is_replaced(
    edge: pki.Authority, tmp_path: Path
) -> None:
    """The name of the issuer is ours, its key is not any more."""
    before = tmp_path / "before"
    before.mkdir()
    lost = leaves.leaf(pki.ensure_authority(before, "edge"), {}, _NAMES)
    assert not leaves.is_foreign(edge, lost["tls.crt"])
    assert leaves.leaf(edge, lost, _NAMES) != lost


def test_a_damaged_one_is_replaced(edge: pki.Authority) -> None:
    """Nobody can have brought that."""
    found = leaves.leaf(edge, {"tls.crt": b"damaged", "tls.key": b"damaged"}, _NAMES)
    assert leaves.expires(found["tls.crt"]) is not None
    assert leaves.expires(b"damaged") is None
