"""The verifier: one pass of checks, the flow of control, what follows from it."""

from __future__ import annotations

from collections.abc import Collection, Mapping

from device.vm.memory import FRAME_SIZE
from device.vm.profiles import UBPF, Profile, adapt, neg_registers
from device.vm.program import BUDGET_DEFAULT, Program
from device.vm.verifier import calls, flow, frames, loops, registers
from device.vm.verifier.calls import CallGraph
from device.vm.verifier.checks import HelperRules, check_instructions, check_text
from device.vm.verifier.code import Code, decode
from device.vm.verifier.findings import Findings
from device.vm.verifier.flow import NONE, Flow
from device.vm.verifier.frames import Frames
from device.vm.verifier.report import FunctionFacts, Report


def verify(
    program: Program,
    *,
    helpers: Mapping[int, str] | Collection[int],
    allowed: Collection[int] | None = None,
    budget: int = BUDGET_DEFAULT,
    frame_size: int = FRAME_SIZE,
    profile: Profile = UBPF,
    no_return: bool = False,
) -> Report:
    """Judge a program (programs.md section 4). Raises nothing, whatever the program; linear time.

    `helpers` are the ids that exist in `profile` (`helper-unknown` outside it), with their names where it
    is a mapping. `allowed` is the allow-list, None when there is none (`helper-denied` outside it).
    `budget` is in instructions, `frame_size` in bytes. `no_return`, or a profile that has it, makes
    `no-exit` a warning (programs.md section 5, NO_RETURN).
    """
    findings = Findings(frozenset({"no-exit"}) if no_return or profile.no_return else frozenset())
    code = decode(adapt(program, profile), findings)
    if profile.neg_register:
        for pc in neg_registers(program.text):
            findings.warn("opcode", pc, "unknown opcode 0x8f, runs as neg")
    check_text(code, findings)
    check_instructions(code, HelperRules(helpers, allowed, profile.name), findings)
    graph = flow.analyse(code)
    flow.report(graph, findings)
    registers.report(graph, findings)
    loops.report(graph, budget, findings)
    call_graph = calls.analyse(graph, findings)
    used = frames.analyse(graph, call_graph.above, frame_size, findings)
    bound = loops.longest_path(graph)
    return Report(
        findings=findings.ordered(program),
        insns=len(code.insns),
        slots=code.slots,
        helpers={helper: tuple(slots) for helper, slots in sorted(code.helpers.items())},
        functions=tuple(_functions(code, graph, used)),
        stack_depth=_stack_depth(call_graph, used),
        loops=loops.facts(graph),
        bounded=bound is not None,
        bound=bound,
        data=len(program.data),
        bss=program.bss_size,
        rodata=len(program.rodata),
        layout=program.layout,
        entry=program.entry,
        tag=program.tag,
    )


def _functions(code: Code, graph: Flow, used: Frames) -> list[FunctionFacts]:
    """The entry and every target of a local call, in the order of the text."""
    callees: list[set[int]] = [set() for _ in graph.functions]
    for block in graph.blocks:
        if block.owner != NONE and block.call != NONE:
            callees[block.owner].add(graph.blocks[block.call].start)
    names = {function.start: function.name for function in code.program.functions if function.name}
    starts = [graph.blocks[number].start for number in graph.functions]
    return [
        FunctionFacts(start, names.get(start), tuple(sorted(callees[index])), used.used[index])
        for index, start in enumerate(starts)
        if graph.functions[index] in graph.called
    ]


def _stack_depth(graph: CallGraph, used: Frames) -> int | None:
    """The largest sum of frame bytes along any chain of calls from the entry."""
    if used.escapes or graph.order is None or graph.entry == NONE:
        return None
    depth = [0] * len(graph.calls)
    for function in graph.order:
        below = max((depth[call.callee] for call in graph.calls[function]), default=0)
        beside = max((depth[target] for target in graph.continues[function]), default=0)
        depth[function] = max(used.used[function] + below, beside)
    return depth[graph.entry]
