"""Fixtures of meshkit's unit tests."""

from __future__ import annotations

from pathlib import Path

import pytest

from meshkit import testing
from meshkit.config import AppConfig


@pytest.fixture
def config(tmp_path: Path) -> AppConfig:
    """A configuration whose sockets are in the test's own directory."""
    return testing.app_config(tmp_path)
