"""The messages of the device's CoAP API as typed values, both directions (api.md).

Server and client share these classes: what one encodes the other decodes, and a field exists in one
place. On the wire they are CBOR maps with text keys (content-format 60) or the same as JSON (50, bytes
as lower-case hex). Decoding is strict in requests (unknown fields are refused) and lenient in answers
(a newer device may say more), so that both sides can be upgraded separately.
"""

from __future__ import annotations

from device.api.board import BoardChange, BoardInfo, LcdInfo, PinInfo, SaulChange, SaulInfo, SaulList
from device.api.codec import CBOR, JSON, PROBLEM_CBOR, decode_body, encode_body, hex64, jsonable
from device.api.hooks import (
    MAX_PATH,
    MAX_PERIOD_MS,
    MIN_PERIOD_MS,
    HookInfo,
    HookList,
    HookPolicy,
    HookRequest,
    HookTrigger,
)
from device.api.message import Message, shown_key
from device.api.problem import ERROR_KEY, Problem
from device.api.runs import (
    DEFAULT_TIMEOUT_MS,
    MAX_BODY,
    MAX_REPEAT,
    MAX_TIMEOUT_MS,
    EngineName,
    ExecAnswer,
    ExecRequest,
    ExecSizes,
    ExecTimes,
    JitAction,
    JitRequest,
    JobInfo,
    JobList,
    JobRequest,
    JobState,
    RegionSpec,
)
from device.api.slots import DeviceInfo, SlotContent, SlotInfo, SlotList, SlotState
from device.api.state import InstalledImage, LogLine, LogPage, StoreListing, UpdateStatus

__all__ = [
    "CBOR",
    "DEFAULT_TIMEOUT_MS",
    "ERROR_KEY",
    "JSON",
    "MAX_BODY",
    "MAX_PATH",
    "MAX_PERIOD_MS",
    "MAX_REPEAT",
    "MAX_TIMEOUT_MS",
    "MIN_PERIOD_MS",
    "PROBLEM_CBOR",
    "BoardChange",
    "BoardInfo",
    "DeviceInfo",
    "EngineName",
    "ExecAnswer",
    "ExecRequest",
    "ExecSizes",
    "ExecTimes",
    "HookInfo",
    "HookList",
    "HookPolicy",
    "HookRequest",
    "HookTrigger",
    "InstalledImage",
    "JitAction",
    "JitRequest",
    "JobInfo",
    "JobList",
    "JobRequest",
    "JobState",
    "LcdInfo",
    "LogLine",
    "LogPage",
    "Message",
    "PinInfo",
    "Problem",
    "RegionSpec",
    "SaulChange",
    "SaulInfo",
    "SaulList",
    "SlotContent",
    "SlotInfo",
    "SlotList",
    "SlotState",
    "StoreListing",
    "UpdateStatus",
    "decode_body",
    "encode_body",
    "hex64",
    "jsonable",
    "shown_key",
]
