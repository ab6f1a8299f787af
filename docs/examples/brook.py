"""Brook, a made-up vendor: it answers "accepted", shows old copies, and hides errors in a 200."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import timedelta
from zoneinfo import ZoneInfo

from openslot import Appointment, Change, OpenSlotError, Window
from openslot.testing.later import Write, WriteState
from openslot.testing.sandbox import Answer, Manners, Request, Sandbox, route
from openslot.testing.walls import from_wall, to_wall


@dataclass(frozen=True, slots=True)
class BrookManners(Manners):
    page_size: int = 5
    writes_land_after: float = 20.0
    read_lag: float = 120.0
    wall_times: str = "compatible"
    errors_inside_200: bool = True


class BrookSandbox(Sandbox):
    name = "brook"
    base_path = "/v1"
    manners_type = BrookManners
    manners: BrookManners

    def answer(self, request: Request) -> Answer:
        try:
            answer = super().answer(request)
        except OpenSlotError as error:
            answer = Answer(422, error.code)
        hide = self.manners.errors_inside_200
        return answer.inside_200(lambda status, said: {"errors": [said]}) if hide else answer

    @route("GET", "/openings")
    def openings(self, request: Request) -> Answer:
        start = from_wall(str(request.one("from")), self._zone, self.manners.wall_times)
        day = Window(start, start + timedelta(days=1))
        # Read from the copy: what was booked since is still shown.
        found = self.as_seen(lambda clinic: clinic.openings(day, type="visit"))
        size, page = self.manners.page_size, int(request.one("page") or 1)
        shown = found[size * (page - 1) : size * page]
        return Answer(200, [{"id": o.id, "at": to_wall(o.slot.start, self._zone)} for o in shown])

    @route("POST", "/bookings")
    def book(self, request: Request) -> Answer:
        asked = request.json()
        accepted = self.later(lambda: self.clinic.book(asked["opening"], asked["client"]), request)
        return Answer(202, {"request": accepted.id})

    @route("GET", "/bookings")
    def bookings(self, request: Request) -> Answer:
        found = self.list_as_seen(lambda clinic: clinic.appointments(), lambda a: a.id)
        return Answer(200, [self._shown(a) for a in found])

    @route("GET", "/bookings/{id}")
    def booking(self, request: Request, id: str) -> Answer:
        return Answer(200, self._shown(self.as_seen(lambda c: c.get_appointment(id), id)))

    def settled(self, write: Write) -> None:
        if write.state is WriteState.FAILED:
            self.webhooks.send("booking.failed", {"request": write.id})

    def changed(self, change: Change) -> None:
        if change.type == "Appointment":
            self.webhooks.send(f"booking.{change.kind}", {"id": change.id})

    @property
    def _zone(self) -> ZoneInfo:
        return ZoneInfo(self.zone)

    def _shown(self, visit: Appointment) -> dict[str, str | None]:
        at = to_wall(visit.start, self._zone) if visit.start else None
        return {"id": visit.id, "at": at, "client": visit.patient, "state": visit.status}
