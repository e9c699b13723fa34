"""Running programs: threads shared fairly, slots that are swapped under running programs, bounded output.

    pool = ShortRunPool()                                    one in a process, shared by its devices
    executor = Executor(images, shared_store, pool, log, clock, slots=5)
    answer = await executor.execute(0, ExecRequest(), client="192.0.2.7")

Programs never run on the event loop's thread. `pool` gives out threads, `slot` is a slot's state and lock,
`run` is what happens on a thread, `programs` says which images may run, `executor` ties them together.
"""

from device.execution.executor import Executor
from device.execution.grants import RunLimits
from device.execution.pool import ShortRunPool
from device.execution.slot import slot_empty

__all__ = ["Executor", "RunLimits", "ShortRunPool", "slot_empty"]
