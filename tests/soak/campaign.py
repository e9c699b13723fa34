"""A soak under way: requests at a rate, deploys, garbage and observers beside them, and the gauges."""

from __future__ import annotations

import asyncio
import random
import socket
from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import AsyncExitStack, aclosing, asynccontextmanager, suppress
from dataclasses import dataclass, field
from itertools import cycle
from pathlib import Path
from time import monotonic
from typing import Any, Final

from client import logs
from client.connection import Connection
from client.deploy import deploy
from client.directory import Target
from client.image import Packaged, prepare
from client.release import Order, Publisher
from client.remote import RemoteDevice
from device.api import ExecRequest, HookRequest
from device.errors import MicroBpfError, TransportError
from tests.device_bench import OBJECTS
from tests.property.datagrams import Hostile
from tests.soak import gauges
from tests.soak.gauges import Gauges
from tests.soak.site import DEPLOY_SLOT, HELLO_SLOT, SEVEN_SLOT, Site
from tests.soak.traffic import Ask, Busy, Sender, Wrong, kinds

IN_FLIGHT: Final = 24
KEPT: Final = 20
DEPLOY_EVERY_S: Final = 3.0
GARBAGE_PER_S: Final = 20.0
GARBAGE_FROM: Final = "127.0.0.2"
"""Another address: whoever sends garbage has a share of the device of his own."""

QUIET_S: Final = 10.0
OBSERVED: Final = ("/slots", "/jobs", "/board", "/saul", "/hooks", "/suit/status", "/store/global")
DEPLOYED: Final = (("add", 123), ("pc_relative_calls", 12345), ("fletcher16_80", 44620))
"""Examples that are deployed in turn, and what they give."""

_GET, _POST = 1, 2
_SPOILT: Final = {
    ("device",): (_GET,),
    ("slots", "1", "exec"): (_POST,),
    ("short-execution",): (_POST,),
    ("with_coap_pkt",): (_POST,),
    ("benchmark", "short-execution"): (_POST,),
    ("bpf", "exec", "0"): (_POST,),
    ("suit", "pull"): (_POST,),
    ("suit", "manifest"): (_POST,),
    ("suit", "trigger"): (_POST,),
    ("slots", "9"): (_GET,),
    ("log",): (_GET,),
    ("running_vm",): (_GET,),
    (".well-known", "core"): (_GET,),
}
_PAYLOADS: Final = (
    b"0180",
    b"0101" * 40,
    b"coap://127.0.0.1:9/manifest",
    b"127.0.0.1:9|manifest|6|1c0||1",
    b"\xbf" * 60,
    b"[" * 900,
    b"\xa1fengine\xff",
)


@dataclass(slots=True)
class Tally:
    """What came of it. `wrong` are the first answers that were not right, `counts` how often is what."""

    counts: Counter[str] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)
    on_wrong: Callable[[str], None] = lambda _text: None

    def fail(self, text: str) -> None:
        """Note something that must not be."""
        self.counts["wrong"] += 1
        if len(self.wrong) < KEPT:
            self.wrong.append(text[:300])
            self.on_wrong(self.wrong[-1])


class Campaign:
    """One soak. `run` takes its time; `tally` and `samples` tell of it, `say` as it goes."""

    def __init__(
        self, site: Site, connection: Connection, *, rate: float, seed: int, say: Callable[[str], None]
    ) -> None:
        self.tally = Tally(on_wrong=say)
        self.samples: list[tuple[float, Gauges]] = []
        self.sender = Sender(connection.exchange, site.url, random.Random(seed), self.tally.counts)
        self._site = site
        self._connection = connection
        self._rate = rate
        self._seed = seed
        self._say = say
        self._device = RemoteDevice(connection, Target("soaked", site.url, srv=site.files))
        self._heard: dict[str, float] = {}
        self._begun = monotonic()

    @property
    def seconds(self) -> float:
        """Since the beginning."""
        return monotonic() - self._begun

    async def run(self, seconds: float, sample_s: float) -> None:
        """Everything for so long; the last sample is taken when nothing is under way any more."""
        for hook in (
            HookRequest(SEVEN_SLOT, "interval", period_ms=200),
            HookRequest(SEVEN_SLOT, "saul", index=1),
            HookRequest(HELLO_SLOT, "path", path="hello"),
        ):
            await self._device.add_hook(hook)
        async with AsyncExitStack() as stack:
            for path in OBSERVED:
                await stack.enter_async_context(_beside(self._observe(path)))
            await stack.enter_async_context(_beside(self._follow_log()))
            await stack.enter_async_context(_beside(self._deploys()))
            await stack.enter_async_context(_beside(self._garbage()))
            await stack.enter_async_context(_beside(self._sampling(sample_s)))
            self._begun = monotonic()
            await self._requests(seconds)
            await self._last_words()
        await self._sample()

    async def _requests(self, seconds: float) -> None:
        """So many a second, IN_FLIGHT at a time at most; a machine that is too slow gets fewer."""
        supply = kinds(self.sender.chance)
        places = asyncio.Semaphore(IN_FLIGHT)
        due = monotonic()
        async with asyncio.TaskGroup() as tasks:
            while self.seconds < seconds:
                await places.acquire()
                before = self.sender.sent["requests"]
                ask = tasks.create_task(self._one(supply()))
                ask.add_done_callback(lambda _task: places.release())
                await asyncio.sleep(max(0.0, due - monotonic()))
                sent = max(1, self.sender.sent["requests"] - before)
                due = max(due, monotonic() - 1) + sent / self._rate

    async def _one(self, ask: Ask) -> None:
        self.tally.counts["asked"] += 1
        try:
            await ask(self.sender)
        except Busy:
            self.tally.counts["busy"] += 1
        except Wrong as wrong:
            self.tally.fail(f"{self.seconds:.0f} s {wrong}")
        except TransportError as error:
            self.tally.counts["lost"] += 1
            self.tally.fail(f"{self.seconds:.0f} s {ask.__name__}: {error.detail}")

    async def _deploys(self) -> None:
        """One program after the other into one slot; each has to be the one that runs then."""
        publisher = Publisher(self._connection, self._site.files, self._site.signer)
        packaged = [(_package(name), gives) for name, gives in DEPLOYED]
        for program, gives in cycle(packaged):
            await asyncio.sleep(DEPLOY_EVERY_S)
            (outcome,) = await deploy(publisher, Order(program, slot=DEPLOY_SLOT), [self._device.target])
            if outcome.error is not None:
                self.tally.fail(f"{self.seconds:.0f} s deploy: {outcome.error.detail}")
                continue
            self.tally.counts["deploys"] += 1
            with suppress(MicroBpfError):  # no place free
                done = await self._device.execute(DEPLOY_SLOT, ExecRequest())
                if done.r0_signed != gives:
                    self.tally.fail(f"{self.seconds:.0f} s deployed {program.name}: {done}")

    async def _garbage(self) -> None:
        hostile = Hostile(self._seed, _SPOILT, _PAYLOADS)
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sending:
            sending.bind((GARBAGE_FROM, 0))
            sending.connect(("127.0.0.1", self._site.port))
            sending.setblocking(False)
            while True:
                await asyncio.sleep(1 / GARBAGE_PER_S)
                with suppress(OSError):
                    sending.send(hostile.datagram())
                    self.tally.counts["garbage"] += 1
                with suppress(OSError):
                    while sending.recv(4096):
                        self.tally.counts["garbage answered"] += 1

    async def _observe(self, path: str) -> None:
        """Be told of a resource all the time; an observation that ends is something wrong."""
        try:
            async with aclosing(self._connection.observe(self._site.url + path)) as answers:
                async for _answer in answers:
                    self._heard[path] = monotonic()
                    self.tally.counts["notifications"] += 1
            self.tally.fail(f"{self.seconds:.0f} s {path} is told of no more")
        except MicroBpfError as error:
            self.tally.fail(f"{self.seconds:.0f} s observing {path}: {error.detail}")

    async def _follow_log(self) -> None:
        """Read on as `client logs -f` does; no line may be missing."""

        def show(entry: logs.Entry) -> None:
            self._heard["/log"] = monotonic()
            self.tally.counts["log lines"] += len(entry.lines)
            if entry.missed:
                self.tally.fail(f"{self.seconds:.0f} s {entry.missed} lines of the log were missed")

        since = (await self._device.log()).next
        await logs.follow(self._device, show, since=since, on_note=self.tally.fail)

    async def _last_words(self) -> None:
        """In the end each observer still hears of a change, and the slots are what they were."""
        began = monotonic()
        quiet = ["/log", *(path for path in OBSERVED if path not in ("/hooks", "/suit/status"))]
        while monotonic() - began < QUIET_S and any(self._heard.get(path, 0) < began for path in quiet):
            number = self.sender.chance.randrange(1000)
            await self._device.change("/saul/1", {"values": [number]})
            await self._device.set_store({"1": number})
            await self._device.execute(SEVEN_SLOT, ExecRequest())
            with suppress(Busy):
                await self.sender.map("POST", "/jobs", {"slot": SEVEN_SLOT}, "2.01")
            await self._device.change("/board", {"pins": {"C13": number % 2}})
            await self.sender.send("POST", "/console/write", payload=b"still there?")
            await asyncio.sleep(0.5)
        for path in quiet:
            if self._heard.get(path, 0) < began:
                self.tally.fail(f"nobody was told of {path} in the end")

    async def _sampling(self, sample_s: float) -> None:
        while True:
            await self._sample()
            await asyncio.sleep(sample_s)

    async def _sample(self) -> None:
        now = await gauges.read(self._site.pid, self._site.gauges)
        self.samples.append((self.seconds, now))
        self._say(line(self))


def line(campaign: Campaign) -> str:
    """The last sample, for people."""
    seconds, now = campaign.samples[-1]
    counts = campaign.tally.counts
    return (
        f"{seconds:6.0f} s {counts['requests']:8} requests {counts['wrong']:3} wrong {counts['busy']:5} busy "
        f"{counts['deploys']:4} deploys  {now.resident_mb:6.1f} MiB {now.tasks:4} tasks "
        f"{now.threads:3} threads {now.descriptors:3} descriptors  {now.cpu_s:6.0f} s cpu"
    )


@asynccontextmanager
async def _beside(work: Any) -> AsyncIterator[None]:
    """Work that goes on meanwhile, and ends with the block; what it raises ends the block too."""
    async with asyncio.TaskGroup() as tasks:
        task = tasks.create_task(work)
        yield
        task.cancel()


def _package(name: str) -> Packaged:
    return prepare(Path(OBJECTS / f"{name}.o"))
