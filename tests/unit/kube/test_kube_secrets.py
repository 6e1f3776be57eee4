"""The Secrets of a deployment: made once, agreeing with each other, never overwritten."""

from __future__ import annotations

import hashlib
import itertools
import json
import re
from collections.abc import Iterable
from pathlib import Path

import pytest
from cryptography import x509

from paymesh.errors import ConfigError
from paymesh.kube import passwords
from paymesh.kube.home import Home, ensure_home
from paymesh.kube.objects import Reference
from paymesh.kube.secrets import Contents, Place, Plan
from paymesh.mesh import Mesh, load_mesh
from paymesh.paths import Paths

_NEEDED = {
    ("paymesh", "payments"): ("dsn", "pdp-token", "provider-key", "bundle-token"),
    ("paymesh", "ledger"): ("dsn", "pdp-token", "pdp-token-sha256", "bundle-token"),
    ("paymesh", "bank-link"): ("dsn", "pdp-token", "provider-key", "bundle-token"),
    ("paymesh", "gateway-tls"): ("tls.crt", "tls.key"),
    ("paymesh-platform", "migrate-payments"): ("dsn",),
    ("paymesh-platform", "migrate-ledger"): ("dsn",),
    ("paymesh-platform", "migrate-bank-link"): ("dsn",),
    ("paymesh-platform", "postgres-admin"): ("password",),
    ("paymesh-platform", "postgres-tls"): ("tls.crt", "tls.key"),
    ("paymesh-platform", "postgres-roles"): ("roles.sql",),
    ("paymesh-platform", "bundle-server-tls"): ("tls.crt", "tls.key"),
    ("paymesh-platform", "bundle-tokens"): ("tokens",),
    ("paymesh-outside", "simulators"): ("keys.json", "cards.crt", "banks.key"),
}


@pytest.fixture(scope="module")
def mesh() -> Mesh:
    """As committed."""
    return load_mesh(port_offset=0)


@pytest.fixture(scope="module")
def home(tmp_path_factory: pytest.TempPathFactory) -> Home:
    """Keys of one cluster."""
    directory = tmp_path_factory.mktemp("home")
    return ensure_home(Paths(directory / "home", directory / "cache"), "kind-paymesh")


def _planned(
    mesh: Mesh,
    home: Home,
    existing: dict[Place, Contents] | None = None,
    needed: Iterable[Place] = _NEEDED,
    *,
    has_database: bool = True,
) -> dict[Place, Contents]:
    references = [Reference("Secret", *place, frozenset(_NEEDED[place])) for place in needed]
    plan = Plan(mesh, home, existing or {}, references, has_database=has_database)
    return {secret.place: secret.data for secret in plan.secrets()}


def _assert_consistent(mesh: Mesh, found: dict[Place, Contents]) -> None:
    """Every derived value fits what it is derived from."""
    script = found["paymesh-platform", "postgres-roles"]["roles.sql"].decode()
    verifiers = dict(re.findall(r"ALTER ROLE (\S+) WITH .* PASSWORD '([^']+)'", script))
    for workload in mesh.services():
        database = str(workload.database)
        own, owner = found["paymesh", workload.name], f"migrate-{workload.name}"
        for role, data in (
            (database, own),
            (f"{database}_owner", found["paymesh-platform", owner]),
        ):
            password = passwords.password_in(mesh, data["dsn"].decode(), role)
            assert password is not None
            assert passwords.verifies(verifiers[role], password)
        digest = hashlib.sha256(own["pdp-token"]).hexdigest()
        assert own["pdp-token-sha256"].decode() == digest
        token = hashlib.sha256(own["bundle-token"]).hexdigest()
        assert f"{token} {workload.name}\n" in (
            found["paymesh-platform", "bundle-tokens"]["tokens"].decode()
        )
        if workload.egress:
            keys = json.loads(found["paymesh-outside", "simulators"]["keys.json"])
            assert keys[workload.egress[0]] == hashlib.sha256(own["provider-key"]).hexdigest()


def test_a_first_deployment_makes_all_of_them(mesh: Mesh, home: Home) -> None:
    """Everything that pods refer to is there, and agrees."""
    found = _planned(mesh, home)
    assert set(found) == set(_NEEDED)
    _assert_consistent(mesh, found)
    values = [v for (_, name), data in found.items() for v in data.values() if name != "simulators"]
    assert len(set(values)) == len(values), "nothing is used twice"


def test_a_second_deployment_changes_nothing(mesh: Mesh, home: Home) -> None:
    """The plan of what is there is what is there, byte by byte."""
    found = _planned(mesh, home)
    assert _planned(mesh, home, found) == found


@pytest.mark.parametrize("lost", list(_NEEDED), ids="/".join)
def test_losing_one_leaves_the_others_in_force(mesh: Mesh, home: Home, lost: Place) -> None:
    """A lost Secret is made again to fit; sources of what others derive are not touched."""
    before = _planned(mesh, home)
    after = _planned(mesh, home, {p: data for p, data in before.items() if p != lost})
    _assert_consistent(mesh, after)
    derived = {"roles.sql", "tokens", "keys.json", "pdp-token-sha256"}
    for place in set(before) - {lost}:
        for key in set(before[place]) - derived:
            assert after[place][key] == before[place][key], (place, key)


def test_losing_every_pair_comes_out_consistent(mesh: Mesh, home: Home) -> None:
    """Whatever two are lost at once, of those that have to agree with others."""
    before = _planned(mesh, home)
    agreeing = [place for place in _NEEDED if "tls" not in place[1]]
    for pair in itertools.combinations(agreeing, 2):
        left = {place: data for place, data in before.items() if place not in pair}
        _assert_consistent(mesh, _planned(mesh, home, left))


def test_what_somebody_brought_stays(mesh: Mesh, home: Home) -> None:
    """A provider's key and what we know nothing of are not replaced, and counted on."""
    brought: dict[Place, Contents] = {
        ("paymesh", "payments"): {"provider-key": b"from the provider\n", "extra": b"1"},
    }
    found = _planned(mesh, home, brought)
    assert found["paymesh", "payments"]["provider-key"] == b"from the provider\n"
    assert found["paymesh", "payments"]["extra"] == b"1"
    keys = json.loads(found["paymesh-outside", "simulators"]["keys.json"])
    assert keys["card-processor"] == hashlib.sha256(b"from the provider").hexdigest()


def test_without_our_database_a_connection_string_has_to_be_brought(mesh: Mesh, home: Home) -> None:
    """It cannot be made up; the text names the Secret and the key, and nothing is invented."""
    needed = [("paymesh", "ledger")]
    with pytest.raises(ConfigError, match=r"paymesh/ledger with key dsn"):
        _planned(mesh, home, needed=needed, has_database=False)
    brought: dict[Place, Contents] = {("paymesh", "ledger"): {"dsn": b"host=db.example user=x"}}
    found = _planned(mesh, home, brought, needed, has_database=False)
    assert found["paymesh", "ledger"]["dsn"] == b"host=db.example user=x"


def test_without_the_simulators_no_provider_key_is_made_up(mesh: Mesh, home: Home) -> None:
    """A real provider knows its own: a first deployment, and one after the Secret was deleted to
    change something else, are refused with the Secret and the key that are to be brought.
    """
    production = [place for place in _NEEDED if place[1] != "simulators"]
    with pytest.raises(ConfigError) as raised:
        _planned(mesh, home, needed=production)
    for name in ("bank-link", "payments"):
        assert f"Secret paymesh/{name} with key provider-key" in str(raised.value)
    brought: dict[Place, Contents] = {
        ("paymesh", name): {"provider-key": name.encode()} for name in ("payments", "bank-link")
    }
    found = _planned(mesh, home, brought, production)
    assert found["paymesh", "payments"]["provider-key"] == b"payments"
    del found["paymesh", "payments"]
    with pytest.raises(ConfigError, match="paymesh/payments with key provider-key,"):
        _planned(mesh, home, found, production)


def test_an_empty_key_is_no_key(mesh: Mesh, home: Home) -> None:
    """It is asked for, not deployed."""
    empty: dict[Place, Contents] = {("paymesh", "bank-link"): {"provider-key": b""}}
    with pytest.raises(ConfigError, match="paymesh/bank-link with key provider-key,"):
        _planned(mesh, home, empty, [("paymesh", "bank-link")])


@pytest.mark.parametrize(
    ("lost", "derived"),
    [
        ("pdp-token", {"pdp-token-sha256"}),
        ("bundle-token", set()),
        ("dsn", set()),
        ("provider-key", set()),
    ],
)
def test_a_secret_that_lacks_a_key_gets_only_that(
    mesh: Mesh, home: Home, lost: str, derived: set[str]
) -> None:
    """So one key is changed by removing it; all that has to agree with it does."""
    before = _planned(mesh, home)
    place = ("paymesh", "payments")
    left = {key: value for key, value in before[place].items() if key != lost}
    after = _planned(mesh, home, {**before, place: left})
    changed = {key for key in before[place] if after[place][key] != before[place][key]}
    assert changed == {lost} | derived
    _assert_consistent(mesh, after)


def test_an_unknown_secret_has_to_be_brought(mesh: Mesh, home: Home) -> None:
    """What an overlay refers to and nobody can make is named before anything starts."""
    reference = Reference("Secret", "paymesh", "mystery", frozenset({"a"}))
    with pytest.raises(ConfigError, match=r"paymesh/mystery with key a"):
        Plan(mesh, home, {}, [reference], has_database=True).secrets()
    there: dict[Place, Contents] = {("paymesh", "mystery"): {"a": b"1"}}
    assert Plan(mesh, home, there, [reference], has_database=True).secrets() == []


def test_certificates_have_the_services_names(mesh: Mesh, home: Home) -> None:
    """A client that verifies the name in the cluster, or a forwarded port, is content."""
    found = _planned(mesh, home)
    for place, wanted in (
        (("paymesh", "gateway-tls"), {"localhost", "gateway.paymesh.svc.cluster.local"}),
        (("paymesh-platform", "postgres-tls"), {passwords.host(mesh)}),
        (
            ("paymesh-platform", "bundle-server-tls"),
            {"bundle-server.paymesh-platform.svc.cluster.local"},
        ),
    ):
        certificate = x509.load_pem_x509_certificate(found[place]["tls.crt"])
        names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName)
        assert wanted <= set(names.value.get_values_for_type(x509.DNSName))


def test_nothing_of_it_is_in_a_text(mesh: Mesh, home: Home) -> None:
    """Neither a Secret nor a home prints what it holds."""
    reference = Reference("Secret", "paymesh", "ledger", frozenset({"dsn"}))
    (secret,) = Plan(mesh, home, {}, [reference], has_database=True).secrets()
    password = passwords.password_in(mesh, secret.data["dsn"].decode(), "ledger")
    assert password is not None
    assert password not in repr(secret)
    assert "PRIVATE" not in repr(home)


def test_the_local_side_is_closed_to_others(home: Home) -> None:
    """No key or directory of it can be read by group or world."""
    for path in [home.paths.home, *home.paths.home.rglob("*")]:
        mode = path.stat().st_mode & 0o777
        public = path.name in {"ca.pem", "jwks.json"} or path.suffix == ".crt"
        assert mode & 0o077 == 0 or (public and Path(path).is_file()), (path, oct(mode))
