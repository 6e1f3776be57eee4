"""Fixtures of meshkit's unit tests."""

from __future__ import annotations

from pathlib import Path

import hypothesis
import pytest

from meshkit import testing
from meshkit.config import AppConfig

# How long an example takes on a busy machine is no property of the code.
hypothesis.settings.register_profile("meshkit", deadline=None)
hypothesis.settings.load_profile("meshkit")


@pytest.fixture
def config(tmp_path: Path) -> AppConfig:
    """A configuration whose sockets are in the test's own directory."""
    return testing.app_config(tmp_path)
