"""The engines of a device, and which of them runs what (engines.md).

`selection` has them by name, `policy` is what `auto` goes by, `runner` runs one program by all of this,
`shadow` compares compiled code with the interpreter.
"""

from device.engines.compiling import CompilingEngine
from device.engines.selection import AUTO, ENGINES, engines_of_device, select

__all__ = ["AUTO", "ENGINES", "CompilingEngine", "engines_of_device", "select"]
