"""The first tables: collectors, nodes, batches, detections, images and the access log, with what guards them."""

from alembic import op

revision = "0001"
down_revision = None
branch_labels = None
depends_on = None

TABLES = """
CREATE TABLE collectors (
    collector_id text PRIMARY KEY,
    first_seen_at timestamptz NOT NULL DEFAULT now()
);
CREATE TABLE nodes (
    node_id uuid PRIMARY KEY,
    host text NOT NULL,
    first_seen_at timestamptz NOT NULL DEFAULT now(),
    api_seen_at timestamptz,
    worker_seen_at timestamptz,
    lost_at timestamptz
);
CREATE TABLE batches (
    collector_id text NOT NULL REFERENCES collectors,
    batch_id text NOT NULL,
    content_digest bytea NOT NULL CONSTRAINT batches_digest_is_sha256 CHECK (octet_length(content_digest) = 32),
    received_at timestamptz NOT NULL,
    sent_at timestamptz,
    status_code integer NOT NULL CONSTRAINT batches_only_acknowledged_answers CHECK (status_code IN (200, 201)),
    answer jsonb NOT NULL,
    PRIMARY KEY (collector_id, batch_id)
);
CREATE INDEX batches_received_at ON batches (received_at);
CREATE TABLE detections (
    detection_id text PRIMARY KEY,
    seq bigint GENERATED ALWAYS AS IDENTITY NOT NULL,
    xid xid8 NOT NULL DEFAULT pg_current_xact_id(),
    collector_id text NOT NULL REFERENCES collectors,
    batch_id text NOT NULL,
    camera_id text NOT NULL,
    captured_at timestamptz NOT NULL,
    received_at timestamptz NOT NULL,
    plate text,
    plate_searchable text,
    confidence double precision CONSTRAINT detections_confidence_is_a_share CHECK (confidence BETWEEN 0 AND 1),
    candidates jsonb,
    region text,
    box jsonb,
    vehicle jsonb,
    direction text,
    heading_degrees double precision,
    data jsonb,
    retain_until timestamptz NOT NULL,
    clock_suspect boolean NOT NULL DEFAULT false,
    erased_at timestamptz,
    CONSTRAINT detections_tombstones_are_empty CHECK (
        erased_at IS NULL OR num_nonnulls(plate, plate_searchable, confidence, candidates, region, box, vehicle,
                                          direction, heading_degrees, data) = 0)
);
CREATE UNIQUE INDEX detections_seq ON detections (seq);
CREATE INDEX detections_feed ON detections (xid, seq);
CREATE INDEX detections_newest ON detections (captured_at, detection_id);
CREATE INDEX detections_by_camera ON detections (collector_id, camera_id, captured_at, detection_id);
CREATE INDEX detections_by_camera_name ON detections (camera_id, captured_at, detection_id);
CREATE INDEX detections_by_plate ON detections (plate_searchable text_pattern_ops, captured_at, detection_id);
CREATE INDEX detections_due ON detections (retain_until) WHERE erased_at IS NULL;
CREATE TABLE images (
    detection_id text NOT NULL REFERENCES detections,
    kind text NOT NULL,
    state text NOT NULL CONSTRAINT images_state_is_known
        CHECK (state IN ('pending', 'stored', 'expired', 'deleted', 'missing', 'rejected')),
    key text,
    content_type text,
    size bigint,
    sha256 bytea CONSTRAINT images_digest_is_sha256 CHECK (octet_length(sha256) = 32),
    width integer,
    height integer,
    stored_at timestamptz,
    attempts integer NOT NULL DEFAULT 0,
    last_error text,
    spool_node uuid REFERENCES nodes,
    spool_file text,
    spool_offset bigint,
    lease_owner uuid,
    lease_until timestamptz,
    holds integer NOT NULL DEFAULT 0 CONSTRAINT images_holds_are_counted CHECK (holds >= 0),
    PRIMARY KEY (detection_id, kind),
    CONSTRAINT images_held_stay CHECK (holds = 0 OR state NOT IN ('expired', 'deleted')),
    CONSTRAINT images_pending_are_in_a_spool CHECK (
        state <> 'pending' OR num_nulls(key, sha256, size, spool_node, spool_file, spool_offset) = 0),
    CONSTRAINT images_stored_are_complete CHECK (
        state <> 'stored' OR num_nulls(key, sha256, size, content_type, stored_at) = 0),
    CONSTRAINT images_elsewhere_leave_the_spool CHECK (
        state IN ('pending', 'missing') OR num_nonnulls(spool_node, spool_file, spool_offset) = 0)
);
CREATE UNIQUE INDEX images_key ON images (key);
CREATE INDEX images_waiting ON images (spool_node, spool_file) WHERE state = 'pending';
CREATE INDEX images_due_for_upload ON images (spool_node, lease_until) WHERE state = 'pending';
CREATE TABLE access_log (
    id bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    at timestamptz NOT NULL DEFAULT clock_timestamp(),
    actor text NOT NULL,
    actor_kind text NOT NULL,
    route text NOT NULL,
    request_id text NOT NULL,
    filters jsonb NOT NULL,
    detection_ids text[] NOT NULL,
    purpose text,
    "case" text
);
CREATE INDEX access_log_at ON access_log (at);
CREATE INDEX access_log_detections ON access_log USING gin (detection_ids);
"""

# Ids, times, digests and sizes are evidence: once written, no statement changes them. A value that was never there may come
# (an image that was rejected and is sent again has bytes at last).
GUARDS = """
CREATE FUNCTION platevault_detection_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.detection_id, NEW.seq, NEW.xid, NEW.collector_id, NEW.batch_id, NEW.camera_id, NEW.captured_at, NEW.received_at)
       IS DISTINCT FROM
       (OLD.detection_id, OLD.seq, OLD.xid, OLD.collector_id, OLD.batch_id, OLD.camera_id, OLD.captured_at, OLD.received_at)
    THEN RAISE EXCEPTION 'detections: ids and times are write-once' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.erased_at IS NOT NULL AND NEW.erased_at IS DISTINCT FROM OLD.erased_at
    THEN RAISE EXCEPTION 'detections: a tombstone stays' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF NEW.erased_at IS NULL AND
       (NEW.plate, NEW.plate_searchable, NEW.confidence, NEW.candidates, NEW.region, NEW.box, NEW.vehicle, NEW.direction,
        NEW.heading_degrees, NEW.data)
       IS DISTINCT FROM
       (OLD.plate, OLD.plate_searchable, OLD.confidence, OLD.candidates, OLD.region, OLD.box, OLD.vehicle, OLD.direction,
        OLD.heading_degrees, OLD.data)
    THEN RAISE EXCEPTION 'detections: what a camera read is write-once, it can only be erased'
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER detection_is_write_once BEFORE UPDATE ON detections
    FOR EACH ROW EXECUTE FUNCTION platevault_detection_is_write_once();

CREATE FUNCTION platevault_detection_outlives_its_tombstone() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.erased_at IS NULL
    THEN RAISE EXCEPTION 'detections: only a tombstone can be deleted' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER detection_outlives_its_tombstone BEFORE DELETE ON detections
    FOR EACH ROW EXECUTE FUNCTION platevault_detection_outlives_its_tombstone();

CREATE FUNCTION platevault_image_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF (NEW.detection_id, NEW.kind) IS DISTINCT FROM (OLD.detection_id, OLD.kind)
       OR (OLD.sha256 IS NOT NULL AND NEW.sha256 IS DISTINCT FROM OLD.sha256)
       OR (OLD.size IS NOT NULL AND NEW.size IS DISTINCT FROM OLD.size)
    THEN RAISE EXCEPTION 'images: ids, digests and sizes are write-once' USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    IF OLD.state IN ('expired', 'deleted') AND NEW.state <> OLD.state
    THEN RAISE EXCEPTION 'images: % is final', OLD.state USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN NEW;
END $$;
CREATE TRIGGER image_is_write_once BEFORE UPDATE ON images
    FOR EACH ROW EXECUTE FUNCTION platevault_image_is_write_once();

CREATE FUNCTION platevault_held_image_stays() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    IF OLD.holds > 0
    THEN RAISE EXCEPTION 'images: % of % is under legal hold', OLD.kind, OLD.detection_id
         USING ERRCODE = 'integrity_constraint_violation';
    END IF;
    RETURN OLD;
END $$;
CREATE TRIGGER held_image_stays BEFORE DELETE ON images FOR EACH ROW EXECUTE FUNCTION platevault_held_image_stays();

CREATE FUNCTION platevault_no_truncate() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION '%: evidence is never truncated', TG_TABLE_NAME USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER detections_no_truncate BEFORE TRUNCATE ON detections EXECUTE FUNCTION platevault_no_truncate();
CREATE TRIGGER images_no_truncate BEFORE TRUNCATE ON images EXECUTE FUNCTION platevault_no_truncate();
CREATE TRIGGER access_log_no_truncate BEFORE TRUNCATE ON access_log EXECUTE FUNCTION platevault_no_truncate();

CREATE FUNCTION platevault_access_is_write_once() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    RAISE EXCEPTION 'access_log: what was written stays' USING ERRCODE = 'integrity_constraint_violation';
END $$;
CREATE TRIGGER access_is_write_once BEFORE UPDATE ON access_log
    FOR EACH ROW EXECUTE FUNCTION platevault_access_is_write_once();
"""

UNDO = """
DROP TABLE access_log, images, detections, batches, nodes, collectors;
DROP FUNCTION platevault_detection_is_write_once, platevault_detection_outlives_its_tombstone, platevault_image_is_write_once,
    platevault_held_image_stays, platevault_no_truncate, platevault_access_is_write_once;
"""


def upgrade() -> None:
    for script in (TABLES, GUARDS):
        _run(script)


def downgrade() -> None:
    _run(UNDO)


def _run(script: str) -> None:
    """One statement at a time: the driver prepares each, and a prepared statement is one statement."""
    inside_function = False
    statement: list[str] = []
    for line in script.splitlines():
        statement.append(line)
        if "$$" in line and line.count("$$") % 2:
            inside_function = not inside_function
        if line.rstrip().endswith(";") and not inside_function:
            op.execute("\n".join(statement))
            statement = []
