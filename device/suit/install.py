"""execute: fetch, check and commit what was planned; one update at a time (suit.md section 6).

    download manifest ─▶ verify ─▶ plan ─▶ download image ─▶ size, digest ─▶ program check ─▶ commit

The installer knows no CoAP and no virtual machine: it is given a way to fetch and a host of programs. Until
the commit nothing but memory of this update has changed; whatever goes wrong before it, the old program
stays and the sequence number is not used up.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping, Sequence
from hashlib import sha256

from device.errors import Conflict, MalformedRequest, StorageError, SuitError
from device.storage.slots import SlotTable, StoredImage
from device.suit import uri
from device.suit.console import Console
from device.suit.envelope import VerifiedManifest, verify
from device.suit.fetching import Fetch, Fetcher
from device.suit.host import Conditions, ProgramHost, UpdateLimits
from device.suit.identity import Identity
from device.suit.images import bring, prepare
from device.suit.plan import DeviceState, ImageOperation, Plan, plan
from device.suit.progress import Progress
from device.suit.refusals import Refusal, refuse
from device.suit.trust import TrustStore

__all__ = ["Conditions", "Installer", "ProgramHost", "Progress", "UpdateLimits"]


class Installer:
    """Carries out updates. `log` takes RIOT's console lines, `warn` why an update is refused.

    `on_change` hears of every new `status`.
    """

    def __init__(
        self,
        slots: SlotTable,
        programs: ProgramHost,
        fetch: Fetch,
        trusted: Callable[[], TrustStore],
        identity: Identity,
        *,
        limits: UpdateLimits | None = None,
        log: Callable[[str], None] = lambda _text: None,
        warn: Callable[[str], None] = lambda _text: None,
        on_change: Callable[[], None] = lambda: None,
    ) -> None:
        self.limits = limits or UpdateLimits()
        self.status = Progress()
        self.on_change = on_change
        self._slots = slots
        self._programs = programs
        self._fetch = fetch
        self._trusted = trusted
        self._identity = identity
        self._console = Console(log, identity)
        self._warn = warn
        self._running = False
        self._conditions: Conditions | None = None
        self._abandoned = _abandoned()

    async def update_from(self, url: str, conditions: Conditions | None = None) -> Progress:
        """Fetch the manifest that `url` names and carry it out; the answer, and `status`, say how it ended.

        Raises SuitError BUSY when another update runs. A refusal is no exception here: it is a result.
        """
        return await self._run(url, lambda fetcher: self._manifest(url, fetcher), conditions)

    async def update_with(self, envelope: bytes) -> Progress:
        """Carry out a manifest that was posted, as if it had been fetched. As `update_from`."""

        async def posted(_fetcher: Fetcher) -> bytes:
            return envelope

        return await self._run(None, posted)

    def accepts(self, envelope: bytes) -> bool:
        """Whether a trusted key signed this and the device, as it is now, would fetch its images. Pure."""
        try:
            self._plan(self._verified(envelope))
        except SuitError:
            return False
        return True

    @property
    def authenticated(self) -> bool:
        """Whether the update that runs is known to be signed; before, anybody may have asked for it."""
        return self.status.state == "image"

    def give_way(self) -> None:
        """Say of the update that runs, before it is cancelled, that a signed one takes its place."""
        self._abandoned = refuse(
            Refusal.BUSY, "a signed manifest was posted while this one was fetched", where="manifest"
        )

    async def _run(
        self,
        url: str | None,
        manifest: Callable[[Fetcher], Awaitable[bytes]],
        conditions: Conditions | None = None,
    ) -> Progress:
        if self._running:
            raise refuse(Refusal.BUSY, "another update is under way")
        self._running = True
        self._conditions = conditions
        self._abandoned = _abandoned()
        fetcher = Fetcher(self._fetch, self.limits.deadline_s)
        self._set(Progress(state="manifest", url=url))
        self._console.started()
        try:
            await self._update(await manifest(fetcher), fetcher)
        except SuitError as error:
            self._failed(error)
        except BaseException:
            if self.status.state != "idle":
                self._failed(self._abandoned)
            raise
        finally:
            self._running = False
        return self.status

    async def _manifest(self, url: str, fetcher: Fetcher) -> bytes:
        try:
            uri.check(url, self.limits.allowed_hosts)
        except MalformedRequest as error:
            raise refuse(Refusal.URI_FORBIDDEN, error.detail, where="manifest URL") from error
        self._console.downloading(url)
        try:
            return await fetcher.get(url, self.limits.envelope, Refusal.TOO_LARGE)
        except SuitError:
            self._console.no_manifest()
            raise

    async def _update(self, envelope: bytes, fetcher: Fetcher) -> None:
        self._console.got_manifest(len(envelope))
        planned = self._planned(envelope)
        self._set(self.status.planned(planned))
        if self.limits.erase_first:
            await self._erase(self.status.slots)
        images: dict[ImageOperation, bytes] = {}
        for operation in planned.operations:
            brought = operation.content
            if operation.source is not None:
                brought = next(image for done, image in images.items() if done.slot == operation.source)
            images[operation] = await bring(operation, brought, fetcher, self._console)
        check = self._conditions.check if self._conditions else self._programs.check
        prepared = {o.slot: await prepare(o, image, check, self._console) for o, image in images.items()}
        # Keys may have been taken away, and jobs begun, while the images were on their way.
        self._require_wanted(envelope)
        await self._commit(envelope, planned, images, prepared)

    async def _erase(self, slots: Sequence[int]) -> None:
        for slot in slots:
            try:
                await self._programs.undeploy(slot)
            except Conflict as error:
                raise refuse(Refusal.SLOT_BUSY, error.detail, where="install", hint=error.hint) from error
            except StorageError as error:
                raise refuse(Refusal.STORAGE, error.detail, where="install", hint=error.hint) from error

    def _finish(self, planned: Plan) -> None:
        """Say that the update is in the slots, after looking at them."""
        self._console.stored(planned)
        for operation in planned.operations:
            self._require_stored(operation)
        self._set(self.status.done(planned))
        self._console.successful()

    def _planned(self, envelope: bytes) -> Plan:
        try:
            verified = self._verified(envelope)
        except SuitError as error:
            self._console.not_verified(error)
            raise
        stored = self._slots.sequence_number
        try:
            planned = self._plan(verified, self._conditions)
        except SuitError as error:
            self._console.not_planned(error)
            raise
        self._console.planned(planned, stored)
        return planned

    def _verified(self, envelope: bytes) -> VerifiedManifest:
        return verify(envelope, self._trusted().keys, self.limits.profiles)

    def _plan(self, verified: VerifiedManifest, conditions: Conditions | None = None) -> Plan:
        """What the update would do, on the device as it is now and by the keys that it trusts now."""
        state = DeviceState(
            identity=self._identity,
            sequence_number=self._slots.sequence_number,
            slots=self._slots.count,
            slot_size=self._slots.slot_size,
            allowed_hosts=self.limits.allowed_hosts,
            max_components=self.limits.components,
            held=[slot for slot in range(self._slots.count) if self._programs.held(slot)],
            maximum=self.limits.maximum,
            writable=self._trusted().writable(verified.signers),
            only_slot=conditions.slot if conditions else None,
        )
        return plan(verified, state)

    def _require_wanted(self, envelope: bytes) -> None:
        """See that the device would still carry this out, by its keys and jobs as they are now."""
        self._plan(self._verified(envelope), self._conditions)

    async def _commit(
        self,
        envelope: bytes,
        planned: Plan,
        images: Mapping[ImageOperation, bytes],
        prepared: Mapping[int, object],
    ) -> None:
        changes = {
            operation.slot: StoredImage(
                image=image,
                digest=operation.digest,
                name=operation.name,
                sequence_number=planned.sequence_number,
                capabilities=operation.capabilities.encode() if operation.capabilities.given else None,
            )
            for operation, image in images.items()
        }

        def commit() -> None:
            # The same once more: runs were given time to end meanwhile.
            self._require_wanted(envelope)
            self._slots.commit(changes, planned.sequence_number)

        self._console.commits()
        try:
            await self._programs.replace(prepared, commit)
        except StorageError as error:
            raise refuse(Refusal.STORAGE, error.detail, where="commit", hint=error.hint) from error
        except BaseException:
            # The device stops, but the commit was already under way: what is installed is called so.
            if self._slots.sequence_number == planned.sequence_number:
                self._finish(planned)
            raise
        self._finish(planned)

    def _require_stored(self, operation: ImageOperation) -> None:
        """The second image match, in the validate section: of what lies in the slot now."""
        stored = self._slots.get(operation.slot)
        self._console.matches_slot(operation)
        # Bytes that were released meanwhile were looked at when they were stored.
        held = stored is not None and (stored.digest if stored.released else sha256(stored.image).digest())
        if held != operation.digest:
            raise refuse(
                Refusal.STORAGE, f".ram.{operation.slot} does not hold what was stored", where="validate"
            )
        self._console.slot_verified()

    def _failed(self, error: SuitError) -> None:
        place = f" ({error.where})" if error.where else ""
        self._warn(f"suit: refused {error.code}{place}: {error.detail}")
        self._console.failed(error)
        self._set(self.status.refused(error))

    def _set(self, status: Progress) -> None:
        self.status = status
        self.on_change()


def _abandoned() -> SuitError:
    return refuse(Refusal.STORAGE, "the update was abandoned", where="update")
