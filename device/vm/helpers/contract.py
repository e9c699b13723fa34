"""What a helper is: id, prototype, what it demands of its pointers, function (helpers.md section 1).

Declarations are data, so that the gate, the documentation page and `client dump` read the same thing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from enum import Enum
from typing import Final, Protocol

from device.vm.arithmetic import signed
from device.vm.faults import GuestFault
from device.vm.helpers.call import Call
from device.vm.memory import GuestMemory

MASK64: Final = 0xFFFFFFFFFFFFFFFF

_FEW: Final = 3
"""Parameters that are passed one by one."""

BoundHelper = Callable[[int, int, int, int, int], int]
"""(r1, …, r5) → r0 as 64 bits; raises GuestFault."""


class CType(Enum):
    """A type of the C prototypes: its width in bits on the device, and whether it has a sign."""

    VOID = ("void", 0, False)
    U8 = ("uint8_t", 8, False)
    I16 = ("int16_t", 16, True)
    INT = ("int", 32, True)
    U32 = ("uint32_t", 32, False)
    SIZE = ("size_t", 32, False)
    POINTER = ("pointer", 32, False)
    U64 = ("uint64_t", 64, False)

    def __init__(self, text: str, bits: int, is_signed: bool) -> None:
        self.text = text
        self.bits = bits
        self.is_signed = is_signed
        self.mask = (1 << bits) - 1

    def cut(self, register: int) -> int:
        """What an argument of this type is, given the 64 bits of its register."""
        return signed(register, self.bits) if self.is_signed else register & self.mask

    @property
    def cutter(self) -> Callable[[int], int]:
        """`cut` as a function that costs little."""
        return self.cut if self.is_signed else self.mask.__and__

    @property
    def extender(self) -> Callable[[int], int]:
        """`extend` as a function that costs little."""
        return self.extend if self.is_signed else self.mask.__and__

    def extend(self, value: int) -> int:
        """r0 for a result of this type: signed ones sign-extended, the others zero-extended, void 0."""
        return self.cut(value) & MASK64


class Contract(Protocol):
    """What the memory behind a pointer has to allow before the helper does anything."""

    def check(self, memory: GuestMemory, address: int, arguments: Mapping[str, int], /) -> None:
        """Raise GuestFault when it does not; `arguments` are those of the call, by name."""


@dataclass(frozen=True, slots=True)
class Readable:
    """`R n`: that many bytes readable; `size` is a number or the name of another parameter."""

    size: int | str

    def check(self, memory: GuestMemory, address: int, arguments: Mapping[str, int], /) -> None:
        """See Contract."""
        memory.check_readable(address, _size(self.size, arguments))

    def __str__(self) -> str:
        return f"R {self.size}"


@dataclass(frozen=True, slots=True)
class Writable:
    """`W n`: that many bytes writable; `size` is a number or the name of another parameter.

    `only_effect`: the helper does nothing else than write them, all at once, which checks them anyway.
    """

    size: int | str
    only_effect: bool = False

    def check(self, memory: GuestMemory, address: int, arguments: Mapping[str, int], /) -> None:
        """See Contract."""
        memory.check_writable(address, _size(self.size, arguments))

    def __str__(self) -> str:
        return f"W {self.size}"


@dataclass(frozen=True, slots=True)
class ReadableAndWritable:
    """`R n` and `W n`: a fault is of the kind that comes first, though all that is writable is readable."""

    size: int

    def check(self, memory: GuestMemory, address: int, _arguments: Mapping[str, int], /) -> None:
        """See Contract."""
        memory.check_readable(address, self.size)
        memory.check_writable(address, self.size)

    def __str__(self) -> str:
        return f"RW {self.size}"


@dataclass(frozen=True, slots=True)
class ReadableString:
    """`R str k`: bytes up to and including a NUL in one region, at most `limit` of them.

    `only_effect`: the helper does nothing else than look for the NUL, which checks them anyway.
    """

    limit: int | None = None
    only_effect: bool = False

    def check(self, memory: GuestMemory, address: int, _arguments: Mapping[str, int], /) -> None:
        """See Contract."""
        memory.string_length(address, self.limit)

    def __str__(self) -> str:
        return f"R str {self.limit or 'to the end of its region'}"


@dataclass(frozen=True, slots=True)
class CheckedByHelper:
    """A size that only the helper's own work tells; its function checks before it has any effect."""

    text: str

    def check(self, _memory: GuestMemory, _address: int, _arguments: Mapping[str, int], /) -> None:
        """Nothing to check ahead of the function."""

    def __str__(self) -> str:
        return self.text


def _size(size: int | str, arguments: Mapping[str, int]) -> int:
    return arguments[size] if isinstance(size, str) else size


def _checks_itself(contract: Contract) -> bool:
    """Whether the helper's function checks the pointer before it has any effect."""
    has_one_effect = isinstance(contract, Writable | ReadableString) and contract.only_effect
    return has_one_effect or isinstance(contract, CheckedByHelper)


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a helper; `contract` where it is a pointer."""

    name: str
    type: CType
    contract: Contract | None = None


@dataclass(frozen=True, slots=True)
class Helper:
    """A function that programs can call by number.

    `function` gets the call and the arguments, cut to their types (five at most, one for each register);
    its value is cut and extended as `result` says. It raises GuestFault, and nothing else whatever the
    arguments are.
    """

    id: int
    prototype: str
    summary: str
    parameters: tuple[Parameter, ...]
    result: CType
    function: Callable[..., int]

    @property
    def name(self) -> str:
        """The C name, as in the prototype."""
        return self.prototype.partition("(")[0].split()[-1].lstrip("*")

    @property
    def pointers(self) -> str:
        """What is demanded of the pointers, as in the table of helpers.md: `dst W n, src R n`."""
        return ", ".join(f"{p.name} {p.contract}" for p in self.parameters if p.contract is not None)

    def bind(self, call: Call) -> BoundHelper:
        """The helper as a function of r1 to r5: check all pointers, then do the work and give r0.

        What can be decided for all calls is decided here, as a helper is called far more often than bound.
        """
        types = [parameter.type for parameter in self.parameters]
        cuts = [one.cutter for one in types]
        checks = [
            (position, parameter.contract.check)
            for position, parameter in enumerate(self.parameters)
            if parameter.contract is not None and not _checks_itself(parameter.contract)
        ]
        if checks:
            return self._bind_checked(call, cuts, checks)
        if len(types) <= _FEW and not any(one.is_signed for one in (*types, self.result)):
            return self._bind_unsigned(call, [one.mask for one in types])
        function, extend = self.function, self.result.extender
        return lambda *registers: extend(
            function(call, *(cut(register) for cut, register in zip(cuts, registers, strict=False)))
        )

    def _bind_unsigned(self, call: Call, masks: Sequence[int]) -> BoundHelper:
        """A function without a call for each argument."""
        function, result = self.function, self.result.mask
        match masks:
            case []:
                return lambda _1, _2, _3, _4, _5: function(call) & result
            case [first]:
                return lambda r1, _2, _3, _4, _5: function(call, r1 & first) & result
            case [first, second]:
                return lambda r1, r2, _3, _4, _5: function(call, r1 & first, r2 & second) & result
            case [first, second, third]:
                return lambda r1, r2, r3, _4, _5: function(call, r1 & first, r2 & second, r3 & third) & result
            case _:
                raise AssertionError("not so few parameters")

    @property
    def _has_named_sizes(self) -> bool:
        """Whether a contract counts by another argument."""
        contracts = (parameter.contract for parameter in self.parameters)
        return any(isinstance(c, Readable | Writable) and isinstance(c.size, str) for c in contracts)

    def _bind_checked(
        self,
        call: Call,
        cuts: Sequence[Callable[[int], int]],
        checks: Sequence[tuple[int, Callable[[GuestMemory, int, Mapping[str, int]], None]]],
    ) -> BoundHelper:
        function, extend, memory = self.function, self.result.extender, call.memory
        names = [parameter.name for parameter in self.parameters] if self._has_named_sizes else []

        def perform(*registers: int) -> int:
            values = [cut(register) for cut, register in zip(cuts, registers, strict=False)]
            arguments = dict(zip(names, values, strict=False))
            for position, check in checks:
                try:
                    check(memory, values[position], arguments)
                except GuestFault as fault:
                    raise call.blame(fault, position + 1) from None
            return extend(function(call, *values))

        return perform
