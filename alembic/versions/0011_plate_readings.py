"""Plates are found by what is shown: unread signs, digits of other scripts, look-alikes, and other readings of one plate.

`plate_readings` is for the misread-tolerant search. The version before does not write it, and what it erases loses it by the trigger.
A job of the worker writes both compared forms again, where this version makes others of the same plate: of rows from before, and of
rows that the version before still writes. `plate_forms_position` is the place in the change feed up to which that is done.
"""

from alembic import op

revision = "0011"
down_revision = "0010"
branch_labels = None
depends_on = None

_COMPARED = """
       (NEW.plate, NEW.plate_searchable, NEW.confidence, NEW.candidates,{new} NEW.region, NEW.box, NEW.vehicle, NEW.direction,
        NEW.heading_degrees, NEW.data)
       IS DISTINCT FROM
       (OLD.plate, OLD.plate_searchable, OLD.confidence, OLD.candidates,{old} OLD.region, OLD.box, OLD.vehicle, OLD.direction,
        OLD.heading_degrees, OLD.data){unless}
"""
_WRITE_ONCE = """
CREATE OR REPLACE FUNCTION platevault_detection_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN{emptied}
    IF (NEW.detection_id, NEW.seq, NEW.xid, NEW.collector_id, NEW.batch_id, NEW.camera_id, NEW.captured_at, NEW.received_at)
       IS DISTINCT FROM
       (OLD.detection_id, OLD.seq, OLD.xid, OLD.collector_id, OLD.batch_id, OLD.camera_id, OLD.captured_at, OLD.received_at)
    THEN RAISE EXCEPTION 'detections: ids and times are write-once' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.erased_at IS NOT NULL AND NEW.erased_at IS DISTINCT FROM OLD.erased_at
    THEN RAISE EXCEPTION 'detections: a tombstone stays' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.rebuilt AND NOT OLD.rebuilt
    THEN RAISE EXCEPTION 'detections: a row is rebuilt from its start' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.erased_at IS NULL AND
       NOT (OLD.rebuilt AND NOT NEW.rebuilt AND num_nonnulls(OLD.plate, OLD.plate_searchable, OLD.confidence, OLD.candidates,
            OLD.region, OLD.box, OLD.vehicle, OLD.direction, OLD.heading_degrees, OLD.data) = 0) AND{compared}
    THEN RAISE EXCEPTION 'detections: what a camera read is write-once, it can only be erased'
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.retain_until IS DISTINCT FROM OLD.retain_until
       AND coalesce(NEW.retain_until, 'infinity') > coalesce(OLD.retain_until, 'infinity')
    THEN RAISE EXCEPTION 'detections: retention only becomes shorter' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.holds <> OLD.holds AND pg_trigger_depth() < 2
    THEN RAISE EXCEPTION 'detections: holds are placed and lifted, not counted by hand'
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$
"""
_WRITE_ONCE_BEFORE = _WRITE_ONCE.replace("{emptied}", "").replace(
    "{compared}", _COMPARED.format(new="", old="", unless="").rstrip()
)
_WRITE_ONCE_NOW = _WRITE_ONCE.replace(
    "{emptied}",
    """
    IF NEW.erased_at IS NOT NULL THEN NEW.plate_readings := NULL;
    END IF;""",
).replace(
    "{compared}",
    _COMPARED.format(
        new=" NEW.plate_readings,",
        old=" OLD.plate_readings,",
        unless="""
       AND NOT (coalesce(current_setting('platevault.plate_forms', true), '') = 'written again'
                AND to_jsonb(NEW) - 'plate_searchable' - 'plate_readings' = to_jsonb(OLD) - 'plate_searchable' - 'plate_readings')""",
    ).rstrip(),
)
# The keys of `platevault_plate_keys`, once each: readings of one plate share most of them. It does not call that function, because
# ANALYZE and a restore run it without a search path.
_READING_KEYS = """
CREATE OR REPLACE FUNCTION platevault_reading_keys(readings text[], camera_id text, captured_at timestamptz) RETURNS integer[]
    LANGUAGE plpgsql IMMUTABLE STRICT PARALLEL RESTRICTED COST 1000 AS $$
DECLARE
    day integer := (floor(extract(epoch FROM captured_at) / 86400)::integer & 262143) << 13;
    camera bytea := sha256(convert_to(camera_id, 'UTF8'));
    keys integer[] := ARRAY[day + 4160 + (get_byte(camera, 0) * 256 + get_byte(camera, 1)) % 4032];
    before integer;
    code integer;
    reading text;
BEGIN
    FOREACH reading IN ARRAY readings LOOP
        keys := keys || (day + 4096 + least(length(reading), 63));
        before := 0;
        FOR place IN 1..length(reading) LOOP
            code := ascii(substr(reading, place, 1));
            code := CASE WHEN code BETWEEN 48 AND 57 THEN code - 47 WHEN code BETWEEN 65 AND 90 THEN code - 54 ELSE 37 + code % 26 END;
            keys := keys || (day + before * 64 + code);
            before := code;
        END LOOP;
        keys := keys || (day + before * 64);
    END LOOP;
    RETURN ARRAY(SELECT DISTINCT key FROM unnest(keys) AS key);
END $$
"""
_INDEXES = (
    ("detections_with_readings", "(captured_at, detection_id)"),
    ("detections_by_reading", "USING gin (plate_readings) WITH (fastupdate = off)"),
    (
        "detections_by_reading_keys",
        "USING gin (platevault_reading_keys(plate_readings, camera_id, captured_at)) WITH (fastupdate = off)",
    ),
)
_POSITION = """
CREATE TABLE IF NOT EXISTS plate_forms_position (
    single boolean PRIMARY KEY DEFAULT true,
    xid xid8 NOT NULL DEFAULT '0',
    seq bigint NOT NULL DEFAULT 0,
    CONSTRAINT plate_forms_position_is_one_row CHECK (single)
)
"""
# A digit of the plate is that digit of any script, for texts quote the plate as it was shown; an unread sign is a question mark.
_ZEROS = "48, 1632, 1776, 1984, 2406, 2534, 2662, 2790, 2918, 3046, 3174, 3302, 3430, 3664, 3792, 3872, 4160, 6112, 6160, 65296"
_WITHOUT_PLATES = r"""
CREATE OR REPLACE FUNCTION platevault_without_plates(said text) RETURNS text LANGUAGE plpgsql STABLE AS $$
DECLARE one record;
BEGIN
    FOR one IN SELECT {plates} AS plate FROM erasing_plates ORDER BY 1 LOOP
        said := regexp_replace(said, {expression}, '[erased]', 'gi');
    END LOOP;
    RETURN said;
END $$
"""
_WITHOUT_PLATES_BEFORE = _WITHOUT_PLATES.replace("{plates}", "plate").replace(
    "{expression}", r"'\m' || regexp_replace(one.plate, '(.)(?=.)', '\1[^[:alnum:]]{0,3}', 'g') || '\M'"
)
_WITHOUT_PLATES_NOW = (
    _WITHOUT_PLATES.replace("{plates}", "unnest(plate || shown)")
    .replace(
        "{expression}",
        r"""'(?<!\w)' || (
            SELECT string_agg(CASE
                WHEN sign ~ '^[0-9]$'
                THEN (SELECT '[' || string_agg(chr(zero + sign::integer), '') || ']' FROM unnest(ARRAY[{zeros}]) AS zero)
                WHEN sign = '?' THEN '[?？]'
                ELSE sign END, '[^[:alnum:]]{0,3}' ORDER BY place)
            FROM unnest(string_to_array(one.plate, NULL)) WITH ORDINALITY AS signs(sign, place)) || '(?!\w)'""",
    )
    .replace("{zeros}", _ZEROS)
)
_TOMBSTONES = """
ALTER TABLE detections ADD CONSTRAINT detections_tombstones_are_empty CHECK (erased_at IS NULL OR num_nonnulls(
    plate, plate_searchable, confidence, candidates, {readings}region, box, vehicle, direction, heading_degrees, data) = 0) NOT VALID
"""


def upgrade() -> None:
    # A run that was cut off while it built an index has committed what is before it, and an index of no use.
    op.execute("ALTER TABLE detections ADD COLUMN IF NOT EXISTS plate_readings text[]")
    op.execute("ALTER TABLE erasing_plates ADD COLUMN IF NOT EXISTS shown text[] NOT NULL DEFAULT '{}'")
    # In one moment: the new one is checked for each row that is written from now on, and for all others below, without a lock.
    op.execute("ALTER TABLE detections DROP CONSTRAINT detections_tombstones_are_empty")
    op.execute(_TOMBSTONES.format(readings="plate_readings, "))
    for statement in (_WRITE_ONCE_NOW, _READING_KEYS, _WITHOUT_PLATES_NOW, _POSITION):
        op.execute(statement)
    op.execute("INSERT INTO plate_forms_position DEFAULT VALUES ON CONFLICT DO NOTHING")
    with op.get_context().autocommit_block():
        op.execute("ALTER TABLE detections VALIDATE CONSTRAINT detections_tombstones_are_empty")
        for name, of in _INDEXES:
            op.execute(f"DROP INDEX CONCURRENTLY IF EXISTS {name}")
            op.execute(f"CREATE INDEX CONCURRENTLY {name} ON detections {of} WHERE plate_readings IS NOT NULL")


def downgrade() -> None:
    for name, _ in _INDEXES:
        op.execute(f"DROP INDEX {name}")
    op.execute("DROP TABLE plate_forms_position")
    op.execute("DROP FUNCTION platevault_reading_keys")
    op.execute(_WITHOUT_PLATES_BEFORE)
    op.execute("ALTER TABLE erasing_plates DROP COLUMN shown")
    op.execute(_WRITE_ONCE_BEFORE)
    op.execute("ALTER TABLE detections DROP CONSTRAINT detections_tombstones_are_empty")
    op.execute("ALTER TABLE detections DROP COLUMN plate_readings")
    op.execute(_TOMBSTONES.format(readings=""))
    op.execute("ALTER TABLE detections VALIDATE CONSTRAINT detections_tombstones_are_empty")
