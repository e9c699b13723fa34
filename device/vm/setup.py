"""The set-up of one run, the same wherever it happens: on a device, on the operator's machine, in a batch."""

from __future__ import annotations

from collections.abc import Collection, Mapping, Sequence

from device.errors import TooLarge
from device.vm.helpers import Helper, Services, gate
from device.vm.memory import CONTEXT_BASE, FRAME_SIZE, MAX_EXTRA_REGIONS, MAX_REGION_BYTES, GuestMemory
from device.vm.profiles import UBPF, Profile
from device.vm.program import BUDGET_DEFAULT, Control, Program, Run, build_memory


def set_up(
    program: Program,
    data: bytearray,
    services: Services,
    available: Mapping[int, Helper],
    *,
    allowed: Collection[int] | None = None,
    context: bytearray | None = None,
    context_writable: bool = True,
    extra: Sequence[tuple[bytearray, bool]] = (),
    budget: int = BUDGET_DEFAULT,
    control: Control | None = None,
    profile: Profile = UBPF,
    renews: bool = False,
    frame_size: int = FRAME_SIZE,
    rodata: bytearray | None = None,
) -> Run:
    """Everything that an engine needs to execute `program` once (programs.md section 3).

    `data` is the slot's .data and .bss, which keep what is written; `context` and the `extra` regions (bytes,
    writable) are written to as well. `allowed` narrows the `available` helpers; None does not. r1 is the
    context's address, r2 its length. `renews`: the budget begins anew after each sleep. `frame_size` is in
    bytes. `rodata` is the slot's .rodata where it may be written to. Where the services have a packet, that
    is the context (helpers.md section 5).
    """
    packet = services.packet
    if packet is not None:
        context, context_writable = packet.context, False
    memory = build_memory(
        program,
        data,
        context,
        context_writable=context_writable,
        extra=extra,
        frame_size=frame_size,
        rodata=rodata,
    )
    if packet is not None:
        memory = GuestMemory([*memory.regions[1:], *packet.regions], memory.stack)
    return Run(
        memory=memory,
        call_helper=gate(memory, services, available, allowed),
        budget=budget,
        r1=CONTEXT_BASE if context else 0,
        r2=len(context or b""),
        control=control or Control(),
        rules=profile.rules,
        renews=renews,
    )


def check_sizes(context: bytes, regions: Sequence[bytes]) -> None:
    """Hold what a run is given to the limits of programs.md section 3.1. Raises TooLarge."""
    if len(regions) > MAX_EXTRA_REGIONS:
        raise TooLarge(f"{len(regions)} extra regions, at most {MAX_EXTRA_REGIONS}", where="regions")
    for where, content in (("context", context), *((f"regions[{k}]", r) for k, r in enumerate(regions))):
        if len(content) > MAX_REGION_BYTES:
            raise TooLarge(f"{where} has {len(content)} bytes, at most {MAX_REGION_BYTES}", where=where)
