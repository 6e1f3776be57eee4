"""The classes of the corpus. Each module's `add` makes the variants of one.

A class is there because something of its kind got past somebody's proxy or policy engine
once; its module names the advisory. Every class has a control that is carried out.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from types import ModuleType

from paymesh.attack.corpus.calls import Maker
from paymesh.attack.corpus.classes import (
    absolute_paths,
    authorities,
    client_cert_headers,
    compressed_bodies,
    control_bytes,
    crossed_lines,
    dot_segments,
    duplicate_headers,
    engine_crashers,
    fragments,
    header_smuggling,
    identity_headers,
    issuers,
    messages,
    methods,
    oversized,
    path_parameters,
    percent_encodings,
    protocols,
    resumption,
    san_kinds,
    san_spellings,
    tokens,
    truncated_bodies,
)
from paymesh.attack.corpus.ground import Ground
from paymesh.attack.corpus.model import Variant


@dataclasses.dataclass(frozen=True)
class Class:
    """One kind of attack."""

    number: int
    title: str
    add: Callable[[Maker], None]

    def variants(self, ground: Ground) -> list[Variant]:
        """Every variant, controls included, in a fixed order."""
        maker = Maker(self.number, ground)
        self.add(maker)
        return maker.variants


_MODULES: tuple[ModuleType, ...] = (
    percent_encodings,
    dot_segments,
    fragments,
    path_parameters,
    absolute_paths,
    duplicate_headers,
    control_bytes,
    header_smuggling,
    client_cert_headers,
    identity_headers,
    authorities,
    crossed_lines,
    compressed_bodies,
    truncated_bodies,
    messages,
    oversized,
    methods,
    protocols,
    san_spellings,
    san_kinds,
    issuers,
    resumption,
    tokens,
    engine_crashers,
)
CLASSES = {
    number: Class(number, module.TITLE, module.add)
    for number, module in enumerate(_MODULES, start=1)
}
