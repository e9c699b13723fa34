"""The arrows of the architecture: who may import whom, read from the imports themselves."""

from __future__ import annotations

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
PACKAGES = ("client", "device", "fileserver")

# The longest matching prefix decides. `device.errors` is the tree everybody may raise from.
ALLOWED: dict[str, tuple[str, ...]] = {
    "device": (),
    "device.errors": (),
    "device.vm": ("device.errors", "device.vm"),
    "device.jit": ("device.errors", "device.vm", "device.jit"),
    "device.engines": ("device.errors", "device.vm", "device.jit", "device.engines"),
    "device.storage": ("device.errors", "device.storage"),
    "device.peripherals": ("device.errors", "device.peripherals"),
    "device.suit": ("device.errors", "device.storage", "device.suit"),
    "device.api": ("device.errors", "device.vm", "device.suit", "device.api"),
    "device.transport": ("device.errors", "device.api", "device.transport"),
    "device.resource": ("device.errors", "device.api", "device.transport", "device.resource"),
    "device.log": ("device",),
    "device.execution": ("device",),
    "device.node": ("device",),
    "device.cli": ("device",),
    "device.startup": (),
    "device.__main__": ("device",),
    "device.server": ("device",),
    "fileserver": ("device.errors", "device.api", "device.transport", "device.resource", "fileserver"),
    "fileserver.__main__": ("device.startup", "fileserver"),
    "client.__main__": ("device.startup", "client"),
    "client.listing": ("client", "device.jit", "device.vm"),
    "client.bench": (
        "client",
        "device",
        "device.errors",
        "device.engines",
        "device.jit",
        "device.vm",
        "device.storage",
    ),
    "client": (
        "client",
        "device",
        "device.errors",
        "device.api",
        "device.transport",
        "device.engines",
        "device.vm",
        "device.suit",
        "device.storage",
        "device.peripherals",
    ),
}
# Only these may know the libraries that belong to one place.
LIBRARIES: dict[str, tuple[str, ...]] = {
    "unicorn": ("device.jit.machine",),
    "aiocoap": (
        "device.transport",
        "device.resource",
        "device.server",
        "device.node",
        "fileserver",
        "client",
    ),
    "cryptography": ("device.suit",),
    "elftools": ("device.vm.debuginfo",),
    "matplotlib": ("client.bench.plots",),
    "capstone": ("client.listing",),
    "click": ("client", "device.cli", "fileserver.cli"),
    "rich": ("client",),
}


def _modules() -> Iterator[tuple[str, Path]]:
    for package in PACKAGES:
        for path in sorted((ROOT / package).rglob("*.py")):
            parts = path.relative_to(ROOT).with_suffix("").parts
            yield ".".join(parts[:-1] if parts[-1] == "__init__" else parts), path


MODULES = dict(_modules())


def imported(path: Path) -> Iterator[str]:
    for node in ast.walk(ast.parse(path.read_text(encoding="utf-8"))):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path}: relative import"
            assert node.module
            yield node.module
            yield from (f"{node.module}.{alias.name}" for alias in node.names)


def within(module: str, prefixes: tuple[str, ...]) -> bool:
    return any(module == prefix or module.startswith(prefix + ".") for prefix in prefixes)


def rule(module: str) -> tuple[str, ...]:
    matching = [prefix for prefix in ALLOWED if within(module, (prefix,))]
    assert matching, f"{module} has no place in the architecture"
    return ALLOWED[max(matching, key=len)]


def reaches(name: str, prefixes: tuple[str, ...]) -> bool:
    """Whether an imported name is covered; the bare package `device` covers only its version."""
    if "device" in prefixes and name in ("device", "device.__version__"):
        return True
    narrow = tuple(prefix for prefix in prefixes if prefix != "device" or len(prefixes) == 1)
    return within(name, narrow)


@pytest.mark.parametrize("module", MODULES)
def test_imports_follow_the_arrows(module: str) -> None:
    path = MODULES[module]
    names = {name for name in imported(path) if within(name, PACKAGES)}
    # `from device.vm import isa` yields device.vm and device.vm.isa: one of them must be covered.
    wrong = {name for name in names if not reaches(name, rule(module))}
    covered = {
        name for name in wrong if any(other.startswith(name + ".") and other not in wrong for other in names)
    }
    assert wrong - covered == set()


@pytest.mark.parametrize("module", MODULES)
def test_libraries_stay_in_their_place(module: str) -> None:
    path = MODULES[module]
    for library, places in LIBRARIES.items():
        if any(within(name, (library,)) for name in imported(path)):
            assert within(module, places), f"{module} imports {library}, which belongs to {places}"


def test_a_wrong_arrow_is_noticed() -> None:
    assert not reaches("client.cli", rule("device.node"))
    assert not reaches("device.suit.keys", rule("device.vm.isa"))
    assert not reaches("device.node", rule("client.cli"))
    assert not reaches("device.vm.isa", rule("fileserver.files"))
    assert reaches("device.vm.isa", rule("device.api"))
