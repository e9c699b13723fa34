"""The call graph of what the entry reaches: recursion, and how deep calls nest.

Numbers are found in one pass over the functions, callees first; nothing here follows a path twice.
"""

from __future__ import annotations

from dataclasses import dataclass

from device.vm.memory import MAX_FRAMES
from device.vm.verifier.findings import Findings
from device.vm.verifier.flow import NONE, Flow
from device.vm.verifier.graph import components, is_cyclic


@dataclass(frozen=True, slots=True)
class Call:
    """A local call: the slot of the instruction, and the function that is called (an index)."""

    pc: int
    callee: int


@dataclass(slots=True)
class CallGraph:
    """Who calls whom, by indices into `Flow.functions`.

    `calls` are those of each function, `continues` the functions that it jumps or falls into: they go on in
    its frame. `order` has callees before callers, or is None when the graph has a cycle. `above` is the
    largest number of frames that a function can find above its own.
    """

    entry: int
    calls: list[list[Call]]
    continues: list[list[int]]
    order: list[int] | None
    above: list[int]


def analyse(flow: Flow, findings: Findings) -> CallGraph:
    """The call graph; reports `recursion` and `call-depth`."""
    count = len(flow.functions)
    entry = flow.blocks[flow.entry].owner if flow.entry != NONE else NONE
    graph = CallGraph(entry, [[] for _ in range(count)], [[] for _ in range(count)], None, [])
    for block in flow.blocks:
        if block.reached and block.call != NONE:
            call = Call(flow.end(block).pc, flow.blocks[block.call].owner)
            graph.calls[block.owner].append(call)
    for source, target in flow.crossings:
        if flow.blocks[source].reached:
            graph.continues[flow.blocks[source].owner].append(flow.blocks[target].owner)
    _find_order(graph, findings)
    graph.above = _frames_above(graph)
    _check_depth(graph, findings)
    return graph


def _find_order(graph: CallGraph, findings: Findings) -> None:
    successors = [
        [call.callee for call in calls] + continues
        for calls, continues in zip(graph.calls, graph.continues, strict=True)
    ]
    found = components(successors)
    if not any(is_cyclic(members, successors) for members in found):
        graph.order = [members[0] for members in found]
        return
    component = [0] * len(successors)
    for number, members in enumerate(found):
        for member in members:
            component[member] = number
    for caller, calls in enumerate(graph.calls):
        for call in calls:
            if component[caller] == component[call.callee]:
                findings.add("recursion", call.pc, "recursive call")


def _frames_above(graph: CallGraph) -> list[int]:
    """MAX_FRAMES - 1 where nothing better is known: with recursion, and for what is not reached."""
    if graph.order is None or graph.entry == NONE:
        return [MAX_FRAMES - 1] * len(graph.calls)
    above: list[int | None] = [None] * len(graph.calls)
    above[graph.entry] = 0
    for function in reversed(graph.order):
        frames = above[function]
        if frames is None:
            continue
        for target, more in _edges(graph, function):
            above[target] = max(above[target] or 0, frames + more)
    return [MAX_FRAMES - 1 if frames is None else min(frames, MAX_FRAMES - 1) for frames in above]


def _edges(graph: CallGraph, function: int) -> list[tuple[int, int]]:
    """(function, frames that going there adds)."""
    edges = [(call.callee, 1) for call in graph.calls[function]]
    return edges + [(target, 0) for target in graph.continues[function]]


def _check_depth(graph: CallGraph, findings: Findings) -> None:
    """`call-depth` at the call that opens one frame too many, on a longest chain from the entry."""
    if graph.order is None or graph.entry == NONE:
        return
    frames = [1] * len(graph.calls)
    for function in graph.order:
        frames[function] = max([1, *(frames[target] + more for target, more in _edges(graph, function))])
    deepest = frames[graph.entry]
    if deepest > MAX_FRAMES:
        findings.add("call-depth", _ninth(graph, frames), f"chain of {deepest} frames, limit {MAX_FRAMES}")


def _ninth(graph: CallGraph, frames: list[int]) -> int:
    """The slot of the call on a longest chain that opens frame MAX_FRAMES + 1."""
    function, is_open = graph.entry, 1
    while True:
        rest = frames[function]
        calls = graph.calls[function]
        call = next((call for call in calls if frames[call.callee] == rest - 1), None)
        if call is None:
            function = next(target for target in graph.continues[function] if frames[target] == rest)
            continue
        if is_open == MAX_FRAMES:
            return call.pc
        function, is_open = call.callee, is_open + 1
