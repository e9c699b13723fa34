"""Dominators, loops, and where the code of each block goes when a unit is written as nested loops.

Blocks are numbers in reverse postorder, 0 the entry. The scheme is that of "Beyond Relooper" (Ramsey, ICFP
2022): the code of a block that several jumps lead to, a *label*, stands behind the code of its dominator;
every other block stands where its only predecessor jumps to it. What follows a loop is kept out of it: a
block that leaves loops is a label behind the outermost loop that it leaves.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from device.vm.analysis.lift import Block

LOOP_LIMIT: Final = 128
"""Loops of a unit that are sorted out; more are left to the dispatching form."""


@dataclass(slots=True)
class Structure:
    """The shape of a unit.

    `dominator[b]` is the immediate dominator (the entry's is itself). `loop[b]` is the header of the
    innermost loop that b is in, or -1; `outer[h]` is the header of the loop around the loop of h, or -1.
    `labels[b]` are the labels placed behind b in the order of their code, those outside the loop of b (when
    b is a header) last; `inside[b]` says how many of them are in that loop. `structured` is False when the
    graph cannot be written as nested loops; then only `headers` and `labelled` mean anything.
    """

    dominator: list[int]
    headers: set[int]
    labelled: set[int]
    loop: list[int]
    outer: dict[int, int]
    labels: list[list[int]]
    inside: list[int]
    structured: bool


def shape(blocks: list[Block]) -> Structure:
    """Find the shape of a unit's blocks."""
    dominator = _dominators(blocks)
    sources: dict[int, list[int]] = {}
    for number, block in enumerate(blocks):
        for target in block.successors():
            if target <= number:
                sources.setdefault(target, []).append(number)
    labelled = {
        number for number, block in enumerate(blocks) if sum(source < number for source in block.before) > 1
    }
    structured = len(sources) <= LOOP_LIMIT and all(
        _dominates(dominator, header, source) for header in sources for source in sources[header]
    )
    found = Structure(dominator, set(sources), labelled, [], {}, [], [], structured)
    if structured:
        _loops(blocks, found, sources)
        _place(found)
    return found


def _dominators(blocks: list[Block]) -> list[int]:
    """Cooper, Harvey, Kennedy: "A Simple, Fast Dominance Algorithm"."""
    dominator = [-1] * len(blocks)
    dominator[0] = 0
    changed = True
    while changed:
        changed = False
        for number in range(1, len(blocks)):
            new = -1
            for source in blocks[number].before:
                if dominator[source] == -1:
                    continue
                if new == -1:
                    new = source
                    continue
                one, two = source, new
                while one != two:
                    if one > two:
                        one = dominator[one]
                    else:
                        two = dominator[two]
                new = one
            if dominator[number] != new:
                dominator[number] = new
                changed = True
    return dominator


def _dominates(dominator: list[int], upper: int, lower: int) -> bool:
    while lower > upper:
        lower = dominator[lower]
    return lower == upper


def _loops(blocks: list[Block], found: Structure, sources: dict[int, list[int]]) -> None:
    """The natural loop of every header, the outer ones first: a header's number is above those around it."""
    found.loop = [-1] * len(blocks)
    for header in sorted(sources):
        found.outer[header] = found.loop[header]
        inside = {header}
        work = list(sources[header])
        while work:
            number = work.pop()
            if number not in inside:
                inside.add(number)
                work.extend(blocks[number].before)
        for number in inside:
            found.loop[number] = header


def _place(found: Structure) -> None:
    """Put every label behind its dominator, or behind the outermost loop that it leaves."""
    count = len(found.loop)
    behind: list[list[int]] = [[] for _ in range(count)]
    leaves: list[list[int]] = [[] for _ in range(count)]
    for number in range(1, count):
        parent = found.dominator[number]
        around = _around(found, number)
        header, left = found.loop[parent], -1
        while header != -1 and header not in around:
            left, header = header, found.outer[header]
        if left != -1:
            found.labelled.add(number)
            leaves[left].append(number)
        elif number in found.labelled:
            behind[parent].append(number)
    found.labels = [one + two for one, two in zip(behind, leaves, strict=True)]
    found.inside = [len(one) for one in behind]


def _around(found: Structure, number: int) -> set[int]:
    """The headers of all loops that a block is in."""
    around = set()
    header = found.loop[number]
    while header != -1:
        around.add(header)
        header = found.outer[header]
    return around
