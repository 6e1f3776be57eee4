"""What can go wrong in the `paymesh` command.

PaymeshError            a sentence for the user that says what to do; exit code 1
├── SetupError          a tool, build or generated file is missing or refused its input
├── ConfigError         deploy/mesh.yaml, the grants or the environment say something impossible
├── StartError          a process did not come up; names its log
└── CallError           a call was answered with a status other than OK
"""

from __future__ import annotations


class PaymeshError(Exception):
    """Shown to the user as it is: one sentence, no traceback."""


class SetupError(PaymeshError):
    """A tool, a build or a generated file is missing or refused its input."""


class ConfigError(PaymeshError):
    """A file or variable that the user owns says something impossible."""


class StartError(PaymeshError):
    """A process did not come up."""


class CallError(PaymeshError):
    """A call was answered with a status other than OK."""
