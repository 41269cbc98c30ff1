-- One row a delivery that was handled: written in the transaction of its effect.
CREATE TABLE idem_keys (
    scope          text COLLATE "C" NOT NULL,
    key            bytea            NOT NULL,
    fingerprint    bytea,
    -- The transaction that claimed: who ends the claim must be in it.
    xid            xid8             NOT NULL DEFAULT pg_current_xact_id(),
    -- 0 claimed, 1 result, 2 permanent error, 3 done without a stored result
    state          smallint         NOT NULL DEFAULT 0,
    result_version integer          NOT NULL DEFAULT 1,
    result         bytea,
    created_at     timestamptz      NOT NULL DEFAULT clock_timestamp(),
    expires_at     timestamptz,
    PRIMARY KEY (scope, key)
);

CREATE INDEX idem_keys_expiry ON idem_keys (expires_at) WHERE expires_at IS NOT NULL;

-- One row an event that a committed transaction emitted.
CREATE TABLE idem_outbox (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           uuid        NOT NULL UNIQUE,
    topic        text        NOT NULL,
    key          text COLLATE "C",
    type         text        NOT NULL,
    payload      bytea       NOT NULL,
    content_type text        NOT NULL,
    headers      text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp(),
    attempts     integer     NOT NULL DEFAULT 0,
    -- Not before this time again; NULL unless the last attempt failed. It holds back its ordering key until then.
    retry_at     timestamptz,
    last_error   text,
    published_at timestamptz
);

CREATE INDEX idem_outbox_pending ON idem_outbox (seq) WHERE published_at IS NULL;
CREATE INDEX idem_outbox_retry ON idem_outbox (key, retry_at) WHERE retry_at IS NOT NULL;
CREATE INDEX idem_outbox_published ON idem_outbox (published_at) WHERE published_at IS NOT NULL;

-- Events that failed to be published too often; they can be replayed from here.
CREATE TABLE idem_dead_letters (
    seq          bigint      NOT NULL PRIMARY KEY,
    id           uuid        NOT NULL UNIQUE,
    topic        text        NOT NULL,
    key          text COLLATE "C",
    type         text        NOT NULL,
    payload      bytea       NOT NULL,
    content_type text        NOT NULL,
    headers      text        NOT NULL,
    created_at   timestamptz NOT NULL,
    attempts     integer     NOT NULL,
    reason       text        NOT NULL,
    died_at      timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- Which relay publishes; the others stand by. One row.
CREATE TABLE idem_relay (
    name       text        NOT NULL PRIMARY KEY,
    owner      uuid        NOT NULL,
    expires_at timestamptz NOT NULL
);

-- What a call does to these tables. Procedures, because a session plans their statements once and CALL itself is
-- not planned. They name the schema that they are made in: a search_path that differs at run time leads them to no
-- other tables. A SET clause would do the same, and cost a call about as much as its statement.
DO $make$
DECLARE
    here text := current_schema();
BEGIN
    -- Claims a key. A transaction that holds it is waited for, wait_ms at most; lock_timeout is then what it was.
    -- A taken key is an error: the one answer that a caller can see who sends BEGIN in the same round trip.
    EXECUTE format($procedure$
        CREATE PROCEDURE %1$I.idem_claim(the_scope text, the_key bytea, the_fingerprint bytea, wait_ms integer)
        LANGUAGE plpgsql AS $$
        DECLARE
            before text := current_setting('lock_timeout');
            unused text;
        BEGIN
            unused := set_config('lock_timeout', wait_ms::text, true);
            INSERT INTO %1$I.idem_keys (scope, key, fingerprint) VALUES (the_scope, the_key, the_fingerprint)
            ON CONFLICT DO NOTHING;
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM01', MESSAGE = 'idem: this delivery was handled before';
            END IF;
            unused := set_config('lock_timeout', before, true);
        END
        $$
    $procedure$, here);

    -- The same inside a transaction that others have begun: a taken key is no error, which would abort it.
    EXECUTE format($procedure$
        CREATE PROCEDURE %1$I.idem_try_claim(
            the_scope text, the_key bytea, the_fingerprint bytea, wait_ms integer, INOUT claimed boolean)
        LANGUAGE plpgsql AS $$
        DECLARE
            before text := current_setting('lock_timeout');
            unused text;
        BEGIN
            unused := set_config('lock_timeout', wait_ms::text, true);
            INSERT INTO %1$I.idem_keys (scope, key, fingerprint) VALUES (the_scope, the_key, the_fingerprint)
            ON CONFLICT DO NOTHING;
            claimed := FOUND;
            unused := set_config('lock_timeout', before, true);
        END
        $$
    $procedure$, here);

    -- What an earlier delivery stored: state, version of the result, fingerprint and result, the last two in
    -- hexadecimal or `-`. NULL if there is no such key.
    EXECUTE format($procedure$
        CREATE PROCEDURE %1$I.idem_find(the_scope text, the_key bytea, INOUT record text)
        LANGUAGE plpgsql AS $$
        BEGIN
            SELECT state || ' ' || result_version || ' ' || coalesce(encode(fingerprint, 'hex'), '-')
                || ' ' || coalesce(encode(result, 'hex'), '-')
            INTO record FROM %1$I.idem_keys WHERE scope = the_scope AND key = the_key;
        END
        $$
    $procedure$, here);

    -- Adds an event. One of an earlier execution, whose key was purged or deleted since, has the same ID and stays as it is.
    EXECUTE format($procedure$
        CREATE PROCEDURE %1$I.idem_emit(
            the_id uuid, the_topic text, the_key text, the_type text, the_payload bytea, the_content_type text, the_headers text)
        LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO %1$I.idem_outbox (id, topic, key, type, payload, content_type, headers)
            VALUES (the_id, the_topic, the_key, the_type, the_payload, the_content_type, the_headers)
            ON CONFLICT (id) DO NOTHING;
        END
        $$
    $procedure$, here);

    -- Ends a claim, in the transaction that made it or not at all.
    EXECUTE format($procedure$
        CREATE PROCEDURE %1$I.idem_finish(
            the_scope text, the_key bytea, the_state integer, the_result bytea, the_version integer, keep_ms bigint)
        LANGUAGE plpgsql AS $$
        BEGIN
            UPDATE %1$I.idem_keys
            SET state = the_state, result = the_result, result_version = the_version,
                expires_at = clock_timestamp() + keep_ms * interval '1 millisecond'
            WHERE scope = the_scope AND key = the_key AND state = 0 AND xid = pg_current_xact_id();
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM02', MESSAGE = 'idem: this is not the transaction that claimed';
            END IF;
        END
        $$
    $procedure$, here);

    -- Both: a handler with a key mostly emits one event.
    EXECUTE format($procedure$
        CREATE PROCEDURE %1$I.idem_emit_and_finish(
            the_id uuid, the_topic text, the_event_key text, the_type text, the_payload bytea, the_content_type text, the_headers text,
            the_scope text, the_key bytea, the_state integer, the_result bytea, the_version integer, keep_ms bigint)
        LANGUAGE plpgsql AS $$
        BEGIN
            INSERT INTO %1$I.idem_outbox (id, topic, key, type, payload, content_type, headers)
            VALUES (the_id, the_topic, the_event_key, the_type, the_payload, the_content_type, the_headers)
            ON CONFLICT (id) DO NOTHING;
            UPDATE %1$I.idem_keys
            SET state = the_state, result = the_result, result_version = the_version,
                expires_at = clock_timestamp() + keep_ms * interval '1 millisecond'
            WHERE scope = the_scope AND key = the_key AND state = 0 AND xid = pg_current_xact_id();
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM02', MESSAGE = 'idem: this is not the transaction that claimed';
            END IF;
        END
        $$
    $procedure$, here);
END
$make$;

-- The version of this schema. One row.
CREATE TABLE idem_schema (
    one     boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    version integer NOT NULL
);

INSERT INTO idem_schema (version) VALUES (1);
