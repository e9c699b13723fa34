"""One device, composed of its parts. Nothing here is global: a process can host as many as it likes."""

from __future__ import annotations

import random
from collections.abc import Callable, Mapping
from contextlib import AsyncExitStack
from typing import Any

from device import __version__
from device.api import DeviceInfo, SlotInfo
from device.engines import CompilingEngine, engines_of_device
from device.execution import Executor, RunLimits, ShortRunPool
from device.execution.hooks import Hooks
from device.log import DeviceLog, Sink
from device.node.clock import BootClock
from device.node.config import NodeConfig
from device.node.naming import check_name, found_name, reverse_lookup, two_words
from device.peripherals import Board, make_board
from device.resource import Limits, SourceCheck, Transfers
from device.server.registration import Entry, Registration
from device.server.site import DeviceSite, Parts
from device.server.updates import Updates
from device.storage.slots import SlotTable
from device.storage.state import StateDirectory
from device.storage.stores import MemoryStore
from device.suit import uri
from device.suit.identity import Identity
from device.suit.install import Installer, UpdateLimits
from device.suit.trust import TrustStore
from device.transport import Authority, CoapContext, download, parse_url, server_context
from device.transport.sockets import ANY
from device.vm.ports import SleepingClock
from device.vm.profiles import PROFILES
from device.vm.program import Engine


class Node:
    """A device: `start` it, and `stop` it in the end.

    `sink` gives the place for the log lines of a device of that name, `chance` is its random source, `clock`
    its clock, `lookup` reverse DNS. `name`, `port`, `log` and `board` are there once it is started.
    """

    def __init__(
        self,
        config: NodeConfig,
        pool: ShortRunPool,
        *,
        chance: random.Random,
        sink: Callable[[str], Sink | None] = lambda _name: None,
        clock: SleepingClock | None = None,
        lookup: Callable[[str], str | None] = reverse_lookup,
    ) -> None:
        self.config = config
        self.identity = Identity.of(config.board)
        self.trusted = TrustStore()
        self.name = ""
        self.log: DeviceLog
        self.executor: Executor
        self.board: Board
        self.slots: SlotTable
        self._pool = pool
        self._chance = chance
        self._sink = sink
        self._clock = clock or BootClock()
        self._lookup = lookup
        self._context: CoapContext
        self._updates: Updates
        self._registration: Registration | None = None
        self._stack = AsyncExitStack()

    # Life

    async def start(self) -> None:
        """Serve. Raises ConfigError (and StorageError) when that is not possible; nothing is left then."""
        try:
            await self._start()
        except BaseException:
            await self._stack.aclose()
            raise

    async def stop(self) -> None:
        """Withdraw from the directory, end what runs, close the port."""
        await self._stack.aclose()

    def reload_keys(self) -> None:
        """Read the trust store again (suit.md section 9).

        A key whose file is gone, or is none any more, is not trusted from now on; what else is wrong in the
        directory is said and left out.
        """
        if self.config.keys is None:
            return
        self.trusted, problems = TrustStore.read(self.config.keys, self.trusted)
        for problem in problems:
            self.log.add("error", "keys", f"left out: {problem.detail}")
        self._announce_keys()

    async def _start(self) -> None:
        config, limits = self.config, self.config.limits
        state = self._open_state()
        self.name = self._choose_name(state)
        self.log = DeviceLog(self._clock, sink=self._sink(self.name), capacity=limits.log_lines)
        self._load_keys()
        self.slots = SlotTable(config.slots, limits.slot_size, state)
        shared = MemoryStore(limits.store_entries)
        self.board = make_board(
            config.board, self._clock.now_us, config.signals, lambda text: self.log.add("info", "board", text)
        )
        self.executor = self._make_executor(shared)
        self._updates = self._make_updates()
        site = self._make_site(shared)
        self._context = await server_context(
            site,
            config.bind,
            config.port,
            timing=config.timing,
            exchange_lifetime_s=limits.exchange_lifetime,
        )
        self._stack.push_async_callback(self._context.shutdown)
        self._stack.push_async_callback(self.executor.stop)
        self._stack.push_async_callback(site.stop)
        self._stack.push_async_callback(self._updates.stop)
        self._register(site)
        self._announce()

    # Parts

    def _open_state(self) -> StateDirectory | None:
        if self.config.state is None:
            return None
        # It warns of what it reads and writes, which begins when there is a log.
        state = StateDirectory(self.config.state, warn=lambda text: self.log.add("warning", "state", text))
        self._stack.callback(state.close)
        return state

    def _choose_name(self, state: StateDirectory | None) -> str:
        """The name that was asked for, kept, found out or made up; the last two are kept from now on."""
        config = self.config
        kept = state.load_name() if state else None
        if config.name is not None or kept is not None:
            return check_name(config.name or kept or "")
        server = parse_url(config.server).authority if config.server else None
        name = found_name(config.bind, server, self._lookup) or two_words(self._chance)
        if config.index is not None:
            name = f"{name}-{config.index}"
        if state is not None:
            state.save_name(name)
        return name

    def _load_keys(self) -> None:
        self.trusted = TrustStore.load(self.config.keys) if self.config.keys else TrustStore()

    def _make_executor(self, shared: MemoryStore) -> Executor:
        limits = self.config.limits
        return Executor(
            self.slots,
            shared,
            self._pool,
            self.log,
            self._clock,
            slots=self.config.slots,
            workers=self.config.workers,
            board=self.board,
            helpers=self.config.helpers,
            engines=self._make_engines(),
            limits=RunLimits(
                budget_default=limits.budget_default,
                budget_max=limits.budget_max,
                slot_size=limits.slot_size,
                store_entries=limits.store_default,
                store_max=limits.store_max,
                stack_max=limits.stack_max,
                ram=limits.ram,
                rules=limits.rules,
                slot_rules=limits.of_slots,
            ),
            profile=PROFILES[self.config.profile],
        )

    def _make_engines(self) -> Mapping[str, Engine]:
        engines = engines_of_device(self.config.workers)
        for engine in engines.values():
            if isinstance(engine, CompilingEngine):
                self._stack.callback(engine.close)
        return engines

    def _make_updates(self) -> Updates:
        limits = self.config.limits
        installer = Installer(
            self.slots,
            self.executor,
            self._fetch,
            lambda: self.trusted,
            self.identity,
            limits=UpdateLimits(
                limits.envelope,
                limits.components,
                self._allowed_hosts(),
                limits.update_deadline,
                limits.profiles,
                self.executor.maximum,
                self.config.erase_first,
            ),
            log=lambda text: self.log.add("info", "suit", text),
            warn=lambda text: self.log.add("warning", "suit", text),
        )
        return Updates(installer, self.log, self._clock)

    def _make_site(self, shared: MemoryStore) -> DeviceSite:
        limits = self.config.limits
        transfers = Transfers(
            Limits(max_block=limits.max_block, observers=limits.observers, timing=self.config.timing),
            log=lambda text: self.log.add("error", "coap", text),
        )
        site = DeviceSite(
            transfers,
            Parts(
                board=self.board,
                slots=self.config.slots,
                envelope=limits.envelope,
                executor=self.executor,
                shared=shared,
                updates=self._updates,
                hooks=Hooks(self.executor, self.log, self._clock.now_us),
                log=self.log,
                info=self.info,
                slot_info=self.slot_info,
                image=self.slots.get,
                read=self.slots.read,
                sequence_number=lambda: self.slots.sequence_number,
            ),
            SourceCheck() if self.config.verify_sources else None,
        )
        self.executor.on_change = site.slot_changed
        self.executor.on_job = site.job_changed
        self._updates.on_change = site.update_changed
        return site

    def _allowed_hosts(self) -> tuple[str, ...]:
        """Whom updates may come from: the file server, and who was named besides."""
        server = (parse_url(self.config.server).authority.host,) if self.config.server else ()
        return server + self.config.limits.allowed_hosts

    async def _fetch(self, url: str, limit: int) -> bytes:
        block = self.config.limits.block
        return await download(self._context, url, limit=limit, block_size=block, timing=self.config.timing)

    def _register(self, site: DeviceSite) -> None:
        config = self.config
        if config.server is None:
            return
        entry = Entry(self.name, config.board, config.slots, config.server, self.port, config.advertise)
        self._registration = Registration(
            self._context,
            entry,
            links=lambda: str(site.get_resources_as_linkheader()),
            log=lambda level, text: self.log.add(
                "warning" if level == "warning" else "info", "directory", text
            ),
            timing=config.timing,
            chance=self._chance.random,
        )
        self._registration.start()
        self._stack.push_async_callback(self._registration.stop)

    # What it says of itself

    @property
    def port(self) -> int:
        """The UDP port that is served."""
        return self._context.port

    @property
    def site(self) -> DeviceSite:
        """Its resources."""
        site: DeviceSite = self._context.serversite
        return site

    @property
    def url(self) -> str:
        """Where it is, for somebody on this machine."""
        bind = self.config.bind
        host = "localhost" if bind is None or bind in ANY else bind
        return Authority(host, self.port).url

    def info(self) -> DeviceInfo:
        """GET /device."""
        return DeviceInfo(
            name=self.name,
            board=self.config.board,
            vendor_id=self.identity.vendor_id,
            class_id=self.identity.class_id,
            slots=self.config.slots,
            slot_size=self.config.limits.slot_size,
            profiles=(self.config.profile,),
            engines=tuple(self.executor.engines),
            workers=self.config.workers,
            uptime_ms=self._clock.now_us() // 1000,
            sequence_number=self.slots.sequence_number,
            version=__version__,
        )

    def slot_info(self, number: int) -> SlotInfo:
        """GET /slots/{n}."""
        return self.executor.slot_info(number, fetching=self._updates.fetching(number))

    def facts(self) -> dict[str, Any]:
        """What a machine wants to know once it is ready."""
        return {
            "name": self.name,
            "url": self.url,
            "port": self.port,
            "board": self.config.board,
            "server": self.config.server,
            "keys": list(self.trusted.names),
        }

    def describe(self) -> str:
        """The same for people, in one line."""
        server = f"server {self.config.server}" if self.config.server else "not registered"
        keys = f"keys {', '.join(self.trusted.names)}" if self.trusted.names else "no keys, updates refused"
        return f"device {self.name} ready: {self.url} board {self.config.board}, {server}, {keys}"

    def _announce(self) -> None:
        config = self.config
        self.log.add("info", "device", f"{self.name} serves port {self.port} as board {config.board}")
        if config.server is None:
            self.log.add(
                "warning",
                "device",
                "no --server: not registered, and no host is allowed to update from by default",
            )
        if uri.ANY_HOST in config.limits.allowed_hosts:
            self.log.add("warning", "device", "updates may come from any host (allowed_hosts)")
        if config.erase_first:
            self.log.add(
                "warning", "device", "slots are emptied before their update is fetched (--erase-first)"
            )
        if config.state is None:
            self.log.add(
                "warning", "device", "no --state: programs and replay protection end with this process"
            )
        if self.slots.beyond:
            listed = ", ".join(map(str, self.slots.beyond))
            text = f"slots {listed} hold programs and are left alone: this start has {config.slots} slots"
            self.log.add("warning", "state", text)
        self._announce_keys()

    def _announce_keys(self) -> None:
        folder = self.config.keys
        if self.trusted.names:
            self.log.add("info", "keys", f"trusted in {folder}: {self.trusted.describe()}")
            return
        what = f"no keys in {folder}" if folder else "no keys"
        if folder and not folder.exists():
            what = f"no keys: there is no folder {folder}; make it, put keys in and send SIGHUP"
        self.log.add("warning", "keys", f"{what}: every update is refused")
