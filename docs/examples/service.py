from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

from fastapi import FastAPI, Request
from fastapi.responses import JSONResponse

from openslot import Desk, Listing, OpenSlotError, Outcome, Slot, SlotQuery, load_practices
from openslot.errors import AskAgain


@asynccontextmanager
async def lifespan(app: FastAPI) -> AsyncIterator[None]:
    practice = load_practices("openslot.toml")["demo"]
    async with Desk(practice) as app.state.desk:  # recovers what the last process left
        yield  # and on the way out waits for what was sent


app = FastAPI(lifespan=lifespan)


@app.exception_handler(OpenSlotError)
async def refused(_: Request, error: OpenSlotError) -> JSONResponse:
    body = {"code": error.code, "message": error.message}
    return JSONResponse(body, status_code=409 if isinstance(error, AskAgain) else 503)


@app.post("/slots")
async def slots(request: Request, query: SlotQuery) -> Listing[Slot]:
    return await request.app.state.desk.find_slots(query, seconds=1.5)


@app.put("/bookings/{key}")
async def book(request: Request, key: str, token: str, patient: str) -> Outcome:
    return await request.app.state.desk.book(token, patient, key=key, seconds=2.5)


@app.get("/bookings/{key}")
async def outcome(request: Request, key: str) -> Outcome:
    return await request.app.state.desk.outcome(key)
