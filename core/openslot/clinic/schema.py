"""The clinic's tables, and the triggers that make a double booking impossible.

`taken` is the one table in which time is spent: a row says that an owner (an appointment, a hold or
a block) takes a resource from `start` to `end`, buffers included. Its triggers refuse an overlap of
two owners whatever process writes, unless the two share one group visit that is not full.
"""

from __future__ import annotations

__all__ = ["SCHEMA", "SCHEMA_VERSION", "TAKEN"]

SCHEMA_VERSION = 1

TAKEN = "openslot: taken"
"""What a trigger says when it refuses an overlap."""

_OVERLAP = f"""
    SELECT RAISE(ABORT, '{TAKEN}')
    WHERE (SELECT value FROM setting WHERE name = 'enforce_conflicts') IS NOT '0'
      AND (
        EXISTS (
            SELECT 1 FROM taken AS other
            WHERE other.resource = NEW.resource
              AND other.stop > NEW.start AND other.start < NEW.stop
              AND other.owner <> NEW.owner
              AND (NEW.share IS NULL OR other.share IS NULL OR other.share <> NEW.share)
        )
        OR NEW.capacity <= (
            SELECT COUNT(*) FROM taken AS other
            WHERE other.resource = NEW.resource
              AND other.stop > NEW.start AND other.start < NEW.stop
              AND other.share = NEW.share AND other.owner <> NEW.owner
        )
      );
"""  # noqa: S608 (its one parameter is a constant)
# A row that changes its owner does not stand in its own way.
_OVERLAP_OF_OTHERS = _OVERLAP.replace(
    "AND other.owner <> NEW.owner", "AND other.owner NOT IN (NEW.owner, OLD.owner)"
)

SCHEMA = f"""
CREATE TABLE setting (name TEXT PRIMARY KEY, value TEXT NOT NULL) WITHOUT ROWID;
CREATE TABLE counter (name TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;

CREATE TABLE location (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, zone TEXT NOT NULL,
    address TEXT, telecom TEXT NOT NULL, active INTEGER NOT NULL
);
CREATE TABLE resource (
    id TEXT PRIMARY KEY, kind TEXT NOT NULL, name TEXT, location TEXT REFERENCES location(id),
    specialties TEXT NOT NULL DEFAULT '[]', active INTEGER NOT NULL DEFAULT 1
);
CREATE TABLE visit_type (
    id TEXT PRIMARY KEY, name TEXT NOT NULL, duration INTEGER NOT NULL, step INTEGER NOT NULL,
    before INTEGER NOT NULL, after INTEGER NOT NULL, notice INTEGER NOT NULL,
    horizon INTEGER NOT NULL, new_patients INTEGER NOT NULL, existing_patients INTEGER NOT NULL,
    visit_modes TEXT NOT NULL, practitioners TEXT NOT NULL, locations TEXT NOT NULL,
    needs TEXT NOT NULL, capacity INTEGER NOT NULL, bookable_online INTEGER NOT NULL,
    questions TEXT NOT NULL
);
CREATE TABLE reason (id TEXT PRIMARY KEY, name TEXT NOT NULL, use TEXT NOT NULL);
CREATE TABLE hours (
    practitioner TEXT NOT NULL REFERENCES resource(id),
    location TEXT NOT NULL REFERENCES location(id),
    weekday INTEGER NOT NULL, start TEXT NOT NULL, stop TEXT NOT NULL, since TEXT, until TEXT
);
CREATE INDEX hours_of ON hours (practitioner, location);
CREATE TABLE exception (
    practitioner TEXT REFERENCES resource(id), location TEXT REFERENCES location(id),
    day TEXT NOT NULL, open INTEGER NOT NULL, start TEXT, stop TEXT
);

CREATE TABLE patient (
    id TEXT PRIMARY KEY, family TEXT, given TEXT NOT NULL, prefix TEXT NOT NULL, text TEXT,
    family_key TEXT NOT NULL, given_key TEXT NOT NULL, birth_date TEXT, gender TEXT,
    telecom TEXT NOT NULL, address TEXT, identifiers TEXT NOT NULL, active INTEGER NOT NULL,
    version INTEGER NOT NULL
);
CREATE INDEX patient_by_birth ON patient (birth_date, family_key);
CREATE INDEX patient_by_name ON patient (family_key, given_key);
CREATE TABLE patient_key (
    kind TEXT NOT NULL, value TEXT NOT NULL, patient TEXT NOT NULL REFERENCES patient(id),
    PRIMARY KEY (kind, value, patient)
) WITHOUT ROWID;
CREATE INDEX patient_key_of ON patient_key (patient);

CREATE TABLE appointment (
    id TEXT PRIMARY KEY, version INTEGER NOT NULL, status TEXT NOT NULL,
    start INTEGER NOT NULL, stop INTEGER NOT NULL, practitioner TEXT NOT NULL,
    location TEXT NOT NULL, type TEXT NOT NULL, patient TEXT NOT NULL REFERENCES patient(id),
    rooms TEXT NOT NULL, opening TEXT NOT NULL, visit_mode TEXT, reason TEXT, comment TEXT,
    cancellation_reason TEXT, identifiers TEXT NOT NULL, answers TEXT NOT NULL,
    intent TEXT, created INTEGER NOT NULL, confirmed INTEGER
);
CREATE INDEX appointment_by_patient ON appointment (patient, start);
CREATE INDEX appointment_by_practitioner ON appointment (practitioner, stop);
CREATE INDEX appointment_by_start ON appointment (start);
CREATE INDEX appointment_by_opening ON appointment (opening);
CREATE TABLE appointment_key (
    system TEXT NOT NULL, value TEXT NOT NULL, appointment TEXT NOT NULL REFERENCES appointment(id),
    PRIMARY KEY (system, value, appointment)
) WITHOUT ROWID;
CREATE TABLE event (
    appointment TEXT NOT NULL REFERENCES appointment(id), version INTEGER NOT NULL,
    at INTEGER NOT NULL, what TEXT NOT NULL, status TEXT NOT NULL, start INTEGER NOT NULL,
    stop INTEGER NOT NULL, location TEXT NOT NULL, note TEXT, PRIMARY KEY (appointment, version)
) WITHOUT ROWID;

-- One row for each intent that was carried out: a second use finds what the first one did.
CREATE TABLE intent (
    verb TEXT NOT NULL, intent TEXT NOT NULL, asked TEXT NOT NULL, record TEXT NOT NULL,
    PRIMARY KEY (verb, intent)
) WITHOUT ROWID;

CREATE TABLE hold (
    id TEXT PRIMARY KEY, opening TEXT NOT NULL, expires INTEGER NOT NULL, intent TEXT UNIQUE
);
CREATE TABLE block (
    id TEXT PRIMARY KEY, start INTEGER NOT NULL, stop INTEGER NOT NULL, resources TEXT NOT NULL,
    location TEXT, reason TEXT, marker TEXT, opening TEXT
);
CREATE INDEX block_by_opening ON block (opening);
CREATE TABLE opening (
    id TEXT PRIMARY KEY, practitioner TEXT NOT NULL, start INTEGER NOT NULL,
    version INTEGER NOT NULL
);
CREATE INDEX opening_by_start ON opening (start);

CREATE TABLE taken (
    owner TEXT NOT NULL, resource TEXT NOT NULL, start INTEGER NOT NULL, stop INTEGER NOT NULL,
    share TEXT, capacity INTEGER NOT NULL DEFAULT 1, expires INTEGER,
    PRIMARY KEY (owner, resource), CHECK (start < stop), CHECK (capacity >= 1),
    CHECK (share IS NOT NULL OR capacity = 1)
) WITHOUT ROWID;
CREATE INDEX taken_by_resource ON taken (resource, stop, start, owner, share, expires);
CREATE INDEX taken_by_expiry ON taken (expires) WHERE expires IS NOT NULL;
CREATE TRIGGER taken_insert BEFORE INSERT ON taken BEGIN {_OVERLAP} END;
CREATE TRIGGER taken_update BEFORE UPDATE ON taken BEGIN {_OVERLAP_OF_OTHERS} END;

CREATE TABLE change (
    seq INTEGER PRIMARY KEY AUTOINCREMENT, at INTEGER NOT NULL, kind TEXT NOT NULL,
    type TEXT NOT NULL, id TEXT NOT NULL
);
"""
