"""Each workload gets its own SVID from the Workload API, and nobody else gets any."""

from __future__ import annotations

import concurrent.futures
import datetime as dt
import functools
from collections.abc import Iterator

from cryptography import x509

from paymesh import dial
from paymesh.checks import access
from paymesh.checks.model import Context, Finding, Section
from paymesh.errors import PaymeshError

_AT_ONCE = 4
_section = Section("identities")


def check(context: Context) -> Iterator[Finding]:
    """Yields a finding for each workload and one for a stranger."""
    # Each is a process of its own that takes a second to start.
    with concurrent.futures.ThreadPoolExecutor(_AT_ONCE) as pool:
        yield from pool.map(functools.partial(_own_svid, context), context.mesh.workloads)
    if context.separate_uids:
        yield _stranger(context)
    else:
        yield _section.warning(
            "each workload has a uid of its own",
            "all run under one uid, told apart by copies of their programs:"
            " one that is taken over can take over the others",
            "run as root, or on Kubernetes, for anything that matters",
        )


def _own_svid(context: Context, name: str) -> Finding:
    title = f"{name} gets its own SVID"
    mend = "see `paymesh logs spire-agent` and `paymesh logs spire-server`"
    try:
        svid = dial.fetch_svid(context.paths, context.mesh, name)
    except PaymeshError as error:
        return _section.problem(title, str(error), mend)
    expected = context.mesh.spiffe_id(name)
    if svid.spiffe_id != expected:
        return _section.problem(title, f"it is {svid.spiffe_id}, not {expected}", mend)
    leaf = x509.load_pem_x509_certificate(svid.certificates)
    left = leaf.not_valid_after_utc - dt.datetime.now(dt.UTC)
    life = leaf.not_valid_after_utc - leaf.not_valid_before_utc
    # Renewed at half-life: one that has less than a quarter left was not renewed.
    if left < life / 4:
        return _section.problem(title, f"it expires in {left} and was not renewed", mend)
    return _section.ok(f"{title}, good for {int(left.total_seconds())} s")


def _stranger(context: Context) -> Finding:
    name = "a process that is no workload cannot reach the Workload API"
    socket = context.paths.workload("spire-agent") / "api.sock"
    return _section.expect(
        name,
        f"uid {access.NOBODY} may write to {socket}" if access.may_write(socket) else None,
        "run `paymesh down` and `paymesh up`: it sets the modes",
    )
