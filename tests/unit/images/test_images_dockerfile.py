"""The Dockerfiles: which files get in, as whom they run."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path

import pytest
from images_stages import DIRECTORY, DOCKERFILE, ROOT, TARGETS, copied, imports, instructions

from paymesh.images import IMAGES, image_name
from paymesh.images.context import SOURCES
from paymesh.mesh import load_mesh

_OUR_IMAGE = re.compile(r"paymesh\.internal/(?:services|platform|simulators|pdp):[\w.]+")


@pytest.mark.parametrize("target", TARGETS)
def test_only_what_a_target_needs_gets_in(target: str) -> None:
    """Services are those that deploy/mesh.yaml names, without simulators and anything of
    deploy; the platform has no signing code.
    """
    workloads = load_mesh(ROOT, port_offset=0).workloads.values()
    apps = {workload.module for workload in workloads if workload.kind != "gateway"}
    places = {place for _, place in copied(target)}
    tops = {place.parts[0] for place in places}
    assert (
        tops
        == {
            "services": {"meshkit", "paymesh", "buf", *apps},
            "platform": {"paymesh"},
            "simulators": {"simulators"},
        }[target]
    )
    if target == "platform":
        assert {place.stem for place in places} == {
            *("__init__", "certificate", "follower", "names", "served", "server", "watching")
        }
    else:
        assert not any("deploy" in file.relative_to(ROOT).parts for file, _ in copied(target))


def test_platform_imports_only_what_is_copied() -> None:
    """The bundle server and the follower need no other module of the deploy tree."""
    places = {place.with_suffix("") for _, place in copied("platform")}
    for file, _ in copied("platform"):
        for name in imports(file):
            if name.startswith("paymesh."):
                parts = Path(*name.split("."))
                assert parts in places or parts.parent in places, name


def test_migrations_are_in_the_image_of_the_services() -> None:
    """Every service with a database has its migrations with it."""
    in_image = {file for file, _ in copied("services") if file.suffix == ".sql"}
    assert in_image == set((ROOT / "services").rglob("*.sql"))
    assert in_image


@pytest.mark.parametrize("target", TARGETS)
def test_a_target_runs_as_nobody(target: str) -> None:
    """Each final stage adds files to `base`, whose user is a number that is not root's."""
    found = [words for stage, words in instructions() if stage == target]
    assert found[0] == ["FROM", "base", "AS", target]
    assert {words[0] for words in found} == {"FROM", "COPY"}
    assert {words[1] for words in found[1:]} == {f"--from={target}-files"}
    assert all(words[2].startswith("/opt/paymesh/") for words in found[1:])
    assert [w for s, w in instructions() if s == "base" and w[0] == "USER"] == [
        ["USER", "65532:65532"]
    ]


def test_stages_share_a_base_that_can_be_replaced() -> None:
    """Both kinds of stage start from the one argument, before which nothing stands."""
    found = [words for _, words in instructions()]
    assert found[0] == ["ARG", "PYTHON_IMAGE=docker.io/library/python:3.11-slim-bookworm"]
    others = [words[1] for words in found if words[0] == "FROM"]
    assert set(others) == {"${PYTHON_IMAGE}", "builder", "base"}
    assert others.count("${PYTHON_IMAGE}") == 2


def test_no_instruction_needs_one_engine() -> None:
    """Mounts, here-documents and `COPY --chmod` are not known to every engine."""
    text = DOCKERFILE.read_text()
    assert not re.search(r"--mount|<<|--chmod|--chown|--link|^# syntax", text, re.MULTILINE)


def test_packages_are_checked_wheels() -> None:
    """No source distribution is taken, and nothing without a known hash."""
    text = (DIRECTORY / "build.sh").read_text()
    assert re.search(r"install .*--require-hashes --only-binary :all:", text.replace("\\\n", ""))
    subprocess.run(["/bin/sh", "-n", DIRECTORY / "build.sh"], check=True, timeout=10)


def test_what_an_engine_sees_is_what_the_dockerfile_copies() -> None:
    """The staged copy, .dockerignore and the instructions name the same directories."""
    ignored = (ROOT / ".dockerignore").read_text().splitlines()
    assert {line[1:] for line in ignored if line.startswith("!")} == set(SOURCES)
    assert "*" in ignored
    sources = {
        source
        for _, words in instructions()
        if words[0] == "COPY" and not words[1].startswith("--from")
        for source in words[1:-1]
    }
    assert all(source.startswith(SOURCES) for source in sources)
    assert all(any(source.startswith(root) for source in sources) for root in SOURCES)


def test_the_decision_point_is_its_program_alone() -> None:
    """Nothing to run but the one static program, and not as root."""
    lines = (ROOT / "deploy/images/pdp/Dockerfile").read_text().splitlines()
    assert [line for line in lines if not line.startswith("#")] == [
        "FROM scratch",
        "COPY paymesh-pdp /paymesh-pdp",
        "USER 65532:65532",
        'ENTRYPOINT ["/paymesh-pdp"]',
    ]


def test_names_cannot_be_pulled_from_anywhere() -> None:
    """The images' registry is in a domain that is reserved for private use."""
    names = [image_name(image) for image in IMAGES]
    assert [re.sub(r":\d+\.\d+\.\d+$", "", name) for name in names] == [
        f"paymesh.internal/{name}" for name in ("services", "platform", "simulators", "pdp")
    ]


def test_manifests_name_images_of_this_version() -> None:
    """Whatever runs in a cluster is what `paymesh images` builds from the same checkout."""
    names = {image_name(image) for image in IMAGES}
    found = set()
    for top in ("deploy/k8s", "deploy/paymesh", "tests/k8s"):
        for path in (ROOT / top).rglob("*.*"):
            if path.suffix in {".yaml", ".py"}:
                found |= set(_OUR_IMAGE.findall(path.read_text()))
    assert len(found) == len(names)
    assert found <= names
