"""Registers of a block that is being written: which are in variables, and which are texts still to be used.

A result that is used once is not stored but put into the text that uses it. The rules that keep the order of
things right:

- While a register is pending, no other pending text reads its variable: whatever reads a variable is written
  out before a new value for its register is taken on.
- At most one pending text may fault (a load), and it is written out before any other statement is: when it
  faults, all that it read is as it was, and nothing behind it has happened.
- At the end of a block all that is live is in variables.
"""

from __future__ import annotations

from collections.abc import Collection

from device.vm.analysis.liveness import BOTH
from device.vm.analysis.values import State
from device.vm.interpreter.lines import Lines, Site
from device.vm.interpreter.texts import ABOVE, LONG_TEXT, MASK, Text, number, variable
from device.vm.isa import FRAME_POINTER, REGISTERS


class Pending:
    """The registers between two statements.

    `state` is what is known of them, `uses[r]` how often the present value of r is still used in the block.
    """

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.state: State = []
        self.uses: list[int] = [0] * REGISTERS
        self._texts: dict[int, Text] = {}
        self._faulting = -1
        self._repeated = False

    def begin(self, state: State, *, repeated: bool) -> None:
        """Everything is in variables; what follows is in a loop, or executed once."""
        self.state = list(state)
        self._repeated = repeated
        self._texts.clear()
        self._faulting = -1

    def value(self, register: int) -> Text:
        """A register's value, without using it up."""
        pending = self._texts.get(register)
        if pending is not None:
            return pending
        low, high, _ = self.state[register]
        return number(low) if low == high else variable(f"r{register}", low, high, 1 << register)

    def take(self, register: int) -> Text:
        """A register's value for one of its uses."""
        value = self.value(register)
        self.uses[register] -= 1
        if self.uses[register] <= 0:
            self.forget(register)
        return value

    def define(self, register: int, value: Text, *, live: bool) -> None:
        """A new value, for which `make_room` was called. One that may fault is evaluated even if dead."""
        self.forget(register)
        if not live:
            if value.site is not None:
                self.add(value.text, value.site)
            return
        plain = value.atom and not value.loose and value.site is None
        if (plain or self.uses[register] == 1) and len(value.text) <= LONG_TEXT:
            self._texts[register] = value
            if value.site is not None:
                self._faulting = register
            return
        self._write(register, value)

    def make_room(self, register: int, spare: Collection[int] = ()) -> None:
        """Write out what reads the register's variable, except `spare`, whose last use is at hand."""
        for other, pending in list(self._texts.items()):
            spared = other == register or (other in spare and self.uses[other] == 1)
            if pending.reads >> register & 1 and not spared:
                self._store(other)

    def forget(self, register: int) -> None:
        """The pending value is not wanted any more, or is in other hands now."""
        self._texts.pop(register, None)
        if self._faulting == register:
            self._faulting = -1

    def write_load(self) -> None:
        """Write out the pending load, if there is one."""
        if self._faulting >= 0:
            self._store(self._faulting)

    def write_out(self, live: int) -> None:
        """Bring every pending register of which a half is in `live` into its variable."""
        for register in list(self._texts):
            if live & BOTH[register]:
                self._store(register)

    def add(self, text: str, site: Site | None = None) -> None:
        """A statement; a pending load goes first."""
        self.write_load()
        self.lines.add(text, site)

    def named(self, value: Text) -> Text:
        """An atom with the value: a variable of its own where it is none."""
        if value.atom and not value.loose and value.site is None:
            return value
        name = self.lines.temporary()
        self.add(f"{name} = {value.exact}", value.site)
        return variable(name, value.low, value.high)

    def noted(self, site: Site) -> Site:
        """The site with the texts of the live registers that are not in their variables."""
        found = []
        for register in range(FRAME_POINTER):
            if site.live & BOTH[register]:
                value = self.value(register)
                if value.text != f"r{register}":
                    found.append((register, value.exact))
        return site._replace(texts=tuple(found)) if found else site

    def _store(self, register: int) -> None:
        """Write a pending value out, unless it was the load that went before another one."""
        pending = self._texts.get(register)
        if pending is None:
            return
        self.forget(register)
        self._write(register, pending)

    def _write(self, register: int, value: Text) -> None:
        """Give a variable its value; in a loop, what rarely does not fit is cut only then."""
        if not (self._repeated and value.over):
            self.add(f"r{register} = {value.exact}", value.site)
            return
        self.add(f"r{register} = {value.text}", value.site)
        mask = MASK[value.loose]
        unfit = f"> {mask}" if value.over == ABOVE else "< 0"
        self.lines.add(f"if r{register} {unfit}: r{register} &= {mask}")
