"""The composition root: one device out of its parts, and a process out of devices.

    config = NodeConfig(server="coap://localhost", keys=Path("trusted"))
    node = Node(config, ShortRunPool(), chance=random.Random())
    await node.start()          # node.name, node.port, node.log
    await node.stop()

`config` is what a device can be told, `naming` what it is called, `node` how it is put together, `process`
how many of them live in one process.
"""

from device.node.config import (
    LIMIT_HELP,
    NodeConfig,
    NodeLimits,
    helpers_of,
    limits_of,
)
from device.node.node import Node
from device.node.process import Output, serve

__all__ = [
    "LIMIT_HELP",
    "Node",
    "NodeConfig",
    "NodeLimits",
    "Output",
    "helpers_of",
    "limits_of",
    "serve",
]
