"""The sandbox's own paths under `/_sandbox/`: faults, exact answers, the clock, the request log."""

from datetime import datetime
from typing import TypeVar

import msgspec
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Mount, Route

from aq_sandbox.faults import CONTROL_PREFIX, Fault
from aq_sandbox.state import Sandbox

_Body = TypeVar("_Body")


class _ExactAnswer(msgspec.Struct, forbid_unknown_fields=True):
    station: str
    body: str


class _ClockSetting(msgspec.Struct, forbid_unknown_fields=True):
    now: datetime | None = None
    speed: float | None = None


# Made at import: msgspec is not safe where two threads' servers make the first one at once.
_faults = msgspec.json.Decoder(Fault)
_answers = msgspec.json.Decoder(_ExactAnswer)
_clocks = msgspec.json.Decoder(_ClockSetting)


def control_routes(sandbox: Sandbox) -> Mount:
    """Routes of the control switch, under `/_sandbox/`."""
    desk = _Control(sandbox)
    app = Starlette(
        routes=[
            Route("/faults", desk.show_faults, methods=["GET"]),
            Route("/faults", desk.add_fault, methods=["POST"]),
            Route("/faults", desk.clear_faults, methods=["DELETE"]),
            Route("/answers", desk.set_answer, methods=["POST"]),
            Route("/answers", desk.clear_answers, methods=["DELETE"]),
            Route("/requests", desk.show_requests, methods=["GET"]),
            Route("/requests", desk.clear_requests, methods=["DELETE"]),
            Route("/clock", desk.show_clock, methods=["GET"]),
            Route("/clock", desk.set_clock, methods=["POST"]),
            Route("/reset", desk.reset, methods=["POST"]),
        ],
        exception_handlers={msgspec.DecodeError: _refuse},
    )
    return Mount(CONTROL_PREFIX.rstrip("/"), app)


def _json(content: object) -> Response:
    return Response(msgspec.json.encode(content), media_type="application/json")


async def _read(request: Request, decoder: msgspec.json.Decoder[_Body]) -> _Body:
    return decoder.decode(await request.body() or b"{}")


async def _refuse(_: Request, error: Exception) -> Response:
    """The answer to a control request that cannot be read."""
    return JSONResponse({"error": str(error)}, 400)


class _Control:
    def __init__(self, sandbox: Sandbox) -> None:
        self._sandbox = sandbox

    async def show_faults(self, _: Request) -> Response:
        return _json(self._sandbox.faults.active())

    async def add_fault(self, request: Request) -> Response:
        self._sandbox.faults.add(await _read(request, _faults))
        return _json(self._sandbox.faults.active())

    async def clear_faults(self, _: Request) -> Response:
        self._sandbox.faults.clear()
        return _json([])

    async def set_answer(self, request: Request) -> Response:
        answer = await _read(request, _answers)
        self._sandbox.answers[answer.station] = answer.body
        return _json({"stations": list(self._sandbox.answers)})

    async def clear_answers(self, request: Request) -> Response:
        """All of them, or one `?station=`'s."""
        station = request.query_params.get("station")
        if station is None:
            self._sandbox.answers.clear()
        else:
            self._sandbox.answers.pop(station, None)
        return _json({"stations": list(self._sandbox.answers)})

    async def show_requests(self, _: Request) -> Response:
        return _json(self._sandbox.requests.summary())

    async def clear_requests(self, _: Request) -> Response:
        self._sandbox.requests.clear()
        return _json({})

    async def show_clock(self, _: Request) -> Response:
        return _json(self._sandbox.clock.describe())

    async def set_clock(self, request: Request) -> Response:
        setting = await _read(request, _clocks)
        self._sandbox.clock.set(setting.now, setting.speed)
        return _json(self._sandbox.clock.describe())

    async def reset(self, _: Request) -> Response:
        self._sandbox.reset()
        return _json({})
