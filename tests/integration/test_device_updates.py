"""Signed updates of a device over UDP: triggered, fetched, installed or refused (suit.md section 11)."""

from __future__ import annotations

import asyncio
import errno
import json
import signal
import threading
from hashlib import sha256
from pathlib import Path
from time import monotonic, sleep
from typing import Any

import pytest
from aiocoap import Code
from cryptography.hazmat.primitives.asymmetric.ed25519 import Ed25519PrivateKey

from device.execution.programs import Prepared
from device.node import NodeLimits
from device.storage.disk import RealDisk
from device.suit.keys import generate
from tests.device_bench import SEVEN, SPIN, device, eventually, example
from tests.device_process import device_process
from tests.integration.update_site import site


async def test_an_update_is_installed_and_runs(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        image = example("hello")
        url = s.publish(image, 7, slot=2)
        assert (await s.bench.get("/suit/version")).value == "NONE"
        status = await s.update(url)
        assert (status["result"], status["sequence_number"], status["riot_code"]) == ("OK", 7, 0)
        tag = sha256(image).hexdigest()[:8]
        assert status["installed"] == [{"slot": 2, "size": len(image), "tag": tag}]
        slot = (await s.bench.get("/slots/2")).value
        assert (slot["digest"], slot["sequence_number"]) == (sha256(image).digest(), 7)
        assert slot["name"] == url.rsplit("/", 1)[1].replace(".suit", ".bin")
        assert (await s.bench.get("/suit/version")).value == "7"
        assert (await s.bench.execute(2)).value["output"] == "Hello from eBPF\n"
        console = s.console()
        assert console[0] == f'suit: received URL: "{url}"'
        assert console[1:3] == ["suit_worker: started.", f'suit_worker: downloading "{url}"']
        assert console[-1] == "suit_worker: update successful"


@pytest.mark.parametrize("code", [Code.POST, Code.PUT], ids=str)
@pytest.mark.parametrize("end", ["", "\0"], ids=["text", "C string"])
async def test_ways_to_trigger(tmp_path: Path, code: Code, end: str) -> None:
    async with site(tmp_path) as s:
        reply = await s.trigger(s.publish(SEVEN, 1) + end, code)
        assert (reply.code, reply.message.payload) == ("2.01", b"")
        await eventually(lambda: s.bench.node.slots.sequence_number == 1)


@pytest.mark.parametrize(
    ("how", "result"),
    [
        pytest.param({"key": Ed25519PrivateKey.generate()}, "BAD_SIGNATURE", id="another key"),
        pytest.param({"board": "nucleo-f446re"}, "CLASS_MISMATCH", id="another board"),
        pytest.param({"served": SEVEN[:-8]}, "IMAGE_SIZE", id="truncated image"),
        pytest.param({"served": SPIN[:16]}, "IMAGE_DIGEST", id="swapped image"),
        pytest.param({"slot": 5}, "UNKNOWN_COMPONENT", id="slot"),
        pytest.param({"number": 1}, "ROLLBACK", id="old number"),
        pytest.param({"image": SEVEN[:8]}, "PROGRAM", id="program"),
    ],
)
async def test_a_refused_update_changes_nothing(tmp_path: Path, how: dict[str, Any], result: str) -> None:
    async with site(tmp_path) as s:
        assert (await s.update(s.publish(example("counter"), 1)))["result"] == "OK"
        await s.bench.execute(0)
        before = (await s.bench.get("/slots")).value
        details = dict(how)
        url = s.publish(details.pop("image", SEVEN), details.pop("number", 2), **details)
        status = await s.update(url)
        assert status["result"] == result
        assert status["detail"]
        assert (await s.bench.get("/slots")).value == before
        assert (await s.bench.get("/suit/version")).value == "1"
        if result == "PROGRAM":
            assert [finding["id"] for finding in status["findings"]] == ["no-exit"]
        assert s.console()[-1] == "suit_worker: update failed, hdr invalid"
        assert (await s.bench.execute(0)).value["r0_signed"] == 2
        assert (await s.update(s.publish(SEVEN, 3)))["result"] == "OK"


async def test_a_missing_manifest_and_a_server_that_is_gone(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        status = await s.update(f"{s.server}/nothing.suit")
        assert (status["result"], status["riot_code"]) == ("TRANSPORT", -6)
        status = await s.update("coap://127.0.0.1:9/nothing.suit")
        assert status["result"] == "TRANSPORT"
        assert (await s.update(s.publish(SEVEN, 1)))["result"] == "OK"


async def test_one_at_a_time_and_one_a_second(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        url = s.publish(SEVEN, 1)
        replies = await asyncio.gather(
            *(s.bench.ask(Code.POST, "/suit/trigger", payload=url.encode()) for _ in range(10))
        )
        codes = sorted(reply.code for reply in replies)
        assert codes == ["2.01"] + ["5.03"] * 9
        busy = next(reply for reply in replies if reply.code == "5.03")
        assert busy.message.opt.max_age in (1, 2)
        assert busy.problem.code in ("BUSY", "busy")
        await eventually(lambda: s.bench.node.slots.sequence_number == 1)
        again = await s.bench.ask(Code.POST, "/suit/trigger", payload=s.publish(SEVEN, 2).encode())
        assert (again.code, again.message.opt.max_age) == ("5.03", 1)
        await asyncio.sleep(1.0)
        again = await s.bench.ask(Code.POST, "/suit/trigger", payload=s.publish(SEVEN, 2).encode())
        assert again.code == "2.01"


async def test_without_keys_every_update_is_refused(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        (s.trusted / "op.pem.pub").rename(tmp_path / "op.pem.pub")
        s.bench.node.reload_keys()
        assert any("no keys" in line and "refused" in line for line in s.bench.lines)
        assert (await s.update(s.publish(SEVEN, 1)))["result"] == "BAD_SIGNATURE"
        (tmp_path / "op.pem.pub").rename(s.trusted / "op.pem.pub")
        s.bench.node.reload_keys()
        assert (await s.update(s.publish(SEVEN, 1)))["result"] == "OK"


async def test_a_refused_update_is_a_warning_and_an_installed_one_is_not(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        await s.update(s.publish(SEVEN, 1))
        assert not any(line.startswith("warning suit") for line in s.bench.lines)
        await s.update(s.publish(SEVEN, 2, board="other"))
        [warning] = [line for line in s.bench.lines if line.startswith("warning suit")]
        status = (await s.bench.get("/suit/status")).value
        why = f"{status['result']} ({status['where']}): {status['detail']}"
        assert warning == f"warning suit suit: refused {why}"


@pytest.mark.parametrize("there", [True, False], ids=["empty", "missing"])
def test_a_folder_of_keys_that_is_missing_is_said(tmp_path: Path, there: bool) -> None:
    folder = tmp_path / "keys"
    if there:
        folder.mkdir()
    with device_process("--keys", str(folder)) as process:
        pass
    texts = [line["text"] for line in map(json.loads, process.log) if line["level"] == "warning"]
    assert any("no keys" in text for text in texts)
    assert any(f"there is no folder {folder}" in text for text in texts) is not there


async def test_a_file_that_is_no_key_is_left_out_and_a_removed_key_is_gone_with_it(tmp_path: Path) -> None:
    async with site(tmp_path) as s:
        (s.trusted / "x.pem.pub").write_text("no key")
        s.bench.node.reload_keys()
        assert any(line.startswith("error keys left out") and "x.pem.pub" in line for line in s.bench.lines)
        assert (await s.update(s.publish(SEVEN, 1)))["result"] == "OK"
        (s.trusted / "op.pem.pub").unlink()
        s.bench.node.reload_keys()
        assert s.bench.lines[-1].startswith(f"warning keys no keys in {s.trusted}")
        assert (await s.update(s.publish(SPIN, 2)))["result"] == "BAD_SIGNATURE"


def test_the_usual_folder_of_keys_may_come_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("XDG_DATA_HOME", str(tmp_path))
    folder = tmp_path / "micro-bpf" / "trusted"
    with device_process() as process:
        folder.mkdir(parents=True)
        generate(tmp_path / "op.pem")
        (tmp_path / "op.pem.pub").rename(folder / "op.pem.pub")
        process.popen.send_signal(signal.SIGHUP)
        limit = monotonic() + 5
        while not any("trusted in" in line for line in process.log) and monotonic() < limit:
            sleep(0.02)
    texts = [line["text"] for line in map(json.loads, process.log) if line["source"] == "keys"]
    assert f"no keys: there is no folder {folder}" in texts[0]
    assert texts[-1] == f"trusted in {folder}: op"


@pytest.mark.parametrize("hosts", [("any",), ("192.0.2.1", "127.0.0.1")], ids=["any", "named"])
async def test_more_hosts_only_when_asked_for(tmp_path: Path, hosts: tuple[str, ...]) -> None:
    async with device(limits=NodeLimits(allowed_hosts=hosts)) as bench:
        reply = await bench.ask(Code.POST, "/suit/trigger", payload=b"coap://127.0.0.1:9/m")
        assert reply.code == "2.01"
    async with device() as bench:
        reply = await bench.ask(Code.POST, "/suit/trigger", payload=b"coap://127.0.0.1:9/m")
        assert reply.code == "4.03"
        assert "allowed: none" in reply.problem.hint


async def test_an_update_ends_a_run_that_does_not(tmp_path: Path) -> None:
    async with site(tmp_path, limits=NodeLimits(budget_default=2**32 - 1)) as s:
        await s.update(s.publish(SPIN, 1))
        run = asyncio.create_task(s.bench.execute(0, {"timeout_ms": 30_000}))
        await eventually(lambda: s.bench.node.executor.slot_info(0).state == "running")
        assert (await s.update(s.publish(SEVEN, 2)))["result"] == "OK"
        fault = (await run).value["fault"]
        assert (fault["code"], "replaced" in fault["detail"]) == ("KILLED", True)
        assert (await s.bench.execute(0)).value["r0_signed"] == 7


async def test_a_slot_says_that_it_is_being_fetched(tmp_path: Path) -> None:
    async with site(tmp_path, limits=NodeLimits(block=16)) as s:
        image = example("printf")
        assert (await s.trigger(s.publish(image, 1, slot=3))).code == "2.01"
        states = []
        while s.bench.node.slots.get(3) is None:
            states.append((await s.bench.get("/slots/3")).value["state"])
        assert "fetching" in states
        assert (await s.bench.get("/slots/3")).value["state"] == "ready"
        assert (await s.bench.get("/slots/2")).value["state"] == "free"


async def test_slots_and_number_survive_a_restart(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with site(tmp_path, state=state) as s:
        assert (await s.update(s.publish(example("counter"), 5, slot=1)))["result"] == "OK"
        await s.bench.execute(1, {"repeat": 3})
        before = (await s.bench.get("/slots/1")).value
    async with device(state=state) as bench:
        after = (await bench.get("/slots/1")).value
        assert {**before, "runs": 0, "mean_us": None} == {"mean_us": None, **after}
        assert (await bench.get("/suit/version")).value == "5"
        assert (await bench.execute(1)).value["r0_signed"] == 1


@pytest.mark.parametrize("path", ["/slots", "/slots/1"])
async def test_looking_at_stored_programs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, path: str
) -> None:
    async with device(state=tmp_path / "state") as bench:
        await bench.install(1, SEVEN)
    async with device(state=tmp_path / "state") as bench:
        checker = bench.node.executor.checker
        check, begun, go_on = checker.check, threading.Event(), threading.Event()

        def slow(*arguments: Any) -> Prepared:
            begun.set()
            assert go_on.wait(5), "nothing else was answered while an image was checked"
            return check(*arguments)

        monkeypatch.setattr(checker, "check", slow)
        asked = asyncio.create_task(bench.get(path))
        await eventually(begun.is_set)
        assert (await bench.get("/device")).code == "2.05"
        go_on.set()
        value = (await asked).value
        slot = value if path == "/slots/1" else value["items"][1]
        assert (slot["layout"], slot["digest"]) == ("text", sha256(SEVEN).digest())


async def test_a_full_disk_keeps_the_old_program_and_the_next_update_works(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    async with site(tmp_path, state=state) as s:
        assert (await s.update(s.publish(example("counter"), 1)))["result"] == "OK"
        before = (await s.bench.get("/slots/0")).value
        with monkeypatch.context() as patch:

            def full(_disk: RealDisk, path: Path, _content: bytes) -> None:
                raise OSError(errno.ENOSPC, "No space left on device", str(path))

            patch.setattr(RealDisk, "write", full)
            status = await s.update(s.publish(SEVEN, 2))
        assert (status["result"], status["riot_code"], status["report_reason"]) == ("STORAGE", -50, 11)
        assert "No space left" in status["detail"]
        assert (status["where"], "space" in status["hint"]) == ("commit", True)
        assert s.console()[-1] == "suit_worker: update failed, hdr invalid"
        assert (await s.bench.get("/slots/0")).value == before
        assert (await s.bench.get("/suit/version")).value == "1"
        assert (await s.bench.execute(0)).value["r0_signed"] == 1
        assert (await s.update(s.publish(SEVEN, 2)))["result"] == "OK"
        assert (await s.bench.execute(0)).value["r0_signed"] == 7
    async with device(state=state) as bench:
        assert (await bench.execute(0)).value["r0_signed"] == 7


async def test_a_commit_that_may_not_outlive_a_power_cut_is_a_warning(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    state = tmp_path / "state"
    async with site(tmp_path, state=state) as s:
        sync = RealDisk.sync

        def broken(disk: RealDisk, folder: Path) -> None:
            if folder == state:
                raise OSError(errno.EIO, "Input/output error")
            sync(disk, folder)

        monkeypatch.setattr(RealDisk, "sync", broken)
        assert (await s.update(s.publish(SEVEN, 1)))["result"] == "OK"
        assert any("warning state" in line and "Input/output error" in line for line in s.bench.lines)
        assert (await s.bench.execute(0)).value["r0_signed"] == 7


async def test_what_is_wrong_with_the_state_is_in_the_log(tmp_path: Path) -> None:
    state = tmp_path / "state"
    async with device(state=state) as bench:
        await bench.install(0, SEVEN)
        await bench.install(3, SPIN)
    (state / "images" / sha256(SEVEN).hexdigest()).write_bytes(b"")
    async with device(state=state, slots=2) as bench:
        assert (await bench.get("/slots/0")).value["state"] == "free"
        warnings = [line for line in bench.lines if line.startswith("warning state")]
        assert len(warnings) == 2
        assert "slot 0" in warnings[0]
        assert "damaged" in warnings[0]
        assert "slots 3 hold programs and are left alone" in warnings[1]
        await bench.install(1, SEVEN)
    async with device(state=state) as bench:
        assert (await bench.get("/slots/3")).value["digest"] == sha256(SPIN).digest()
        assert not any(line.startswith("warning state") for line in bench.lines)


async def test_stopping_in_the_middle_of_an_update(tmp_path: Path) -> None:
    async with site(tmp_path, state=tmp_path / "state", limits=NodeLimits(block=16)) as s:
        assert (await s.trigger(s.publish(example("printf"), 1))).code == "2.01"
        await eventually(lambda: s.bench.node._updates.status().state == "image")
    async with device(state=tmp_path / "state") as bench:
        assert (await bench.get("/slots/0")).value["state"] == "free"
        assert (await bench.get("/suit/version")).value == "NONE"
