-- Everything here may be run again: what is there stays, and the functions are made anew for the
-- schema that they are made in. Do that after the schema was renamed.

-- One row for each delivery that was handled, written in the transaction of its effect.
CREATE TABLE IF NOT EXISTS idem_keys (
    scope          text COLLATE "C" NOT NULL,
    key            bytea            NOT NULL,
    fingerprint    bytea,
    -- The transaction that claimed: whoever ends the claim must be in it.
    xid            xid8             NOT NULL DEFAULT pg_current_xact_id(),
    -- 0 claimed, 1 result, 2 permanent error, 3 done without a stored result
    state          smallint         NOT NULL DEFAULT 0,
    result_version integer          NOT NULL DEFAULT 1,
    result         bytea,
    created_at     timestamptz      NOT NULL DEFAULT clock_timestamp(),
    -- Set with the claim, since an update of an indexed column writes to every index.
    expires_at     timestamptz,
    PRIMARY KEY (scope, key)
    -- Room on each page for the update that ends a claim.
) WITH (fillfactor = 90);

CREATE INDEX IF NOT EXISTS idem_keys_expiry ON idem_keys (expires_at) WHERE expires_at IS NOT NULL;

-- One row for each event that a committed transaction emitted and no relay has published yet. Rows
-- are inserted and deleted, never updated.
CREATE TABLE IF NOT EXISTS idem_outbox (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    id           uuid        NOT NULL UNIQUE,
    -- Of 64: which relay takes it.
    shard        smallint    NOT NULL DEFAULT 0,
    topic        text        NOT NULL,
    key          text COLLATE "C",
    type         text        NOT NULL,
    payload      bytea       NOT NULL,
    content_type text        NOT NULL,
    headers      text        NOT NULL,
    created_at   timestamptz NOT NULL DEFAULT clock_timestamp()
);

-- How often something failed. Of an event that a relay could not publish, `origin` is `relay`,
-- `name` the relay's target, `source` is empty, and `id` is the event's.
-- Of a message that a consumer could not handle, `origin` is `consumer`, `name` the consumer's, and
-- `source` and `id` are the message's.
CREATE TABLE IF NOT EXISTS idem_attempts (
    origin     text COLLATE "C" NOT NULL,
    name       text COLLATE "C" NOT NULL,
    source     text COLLATE "C" NOT NULL,
    id         text COLLATE "C" NOT NULL,
    attempts   integer          NOT NULL,
    -- Not tried before this time, and until then its ordering key waits, too.
    retry_at   timestamptz,
    last_error text,
    touched_at timestamptz      NOT NULL DEFAULT clock_timestamp(),
    PRIMARY KEY (origin, name, source, id)
);

CREATE INDEX IF NOT EXISTS idem_attempts_touched ON idem_attempts (touched_at);

-- What failed too often; it can be replayed from here. Whose it is is said as in `idem_attempts`.
CREATE TABLE IF NOT EXISTS idem_dead_letters (
    number       bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin       text COLLATE "C" NOT NULL,
    name         text COLLATE "C" NOT NULL,
    source       text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    shard        smallint         NOT NULL DEFAULT 0,
    topic        text             NOT NULL,
    key          text COLLATE "C",
    type         text             NOT NULL,
    payload      bytea            NOT NULL,
    content_type text             NOT NULL,
    headers      text             NOT NULL,
    created_at   timestamptz      NOT NULL,
    attempts     integer          NOT NULL,
    reason       text             NOT NULL,
    died_at      timestamptz      NOT NULL DEFAULT clock_timestamp(),
    -- Letters are looked up by their IDs alone, too.
    UNIQUE (id, origin, name, source)
);

-- Messages that wait in this database: what a service stored for itself (`origin` is `inbox`, `name`
-- the inbox's), and what a consumer put aside to go on with other keys, or took back from its dead
-- letters (`parked`, and the consumer's name). What is done is remembered for a while.
CREATE TABLE IF NOT EXISTS idem_inbox (
    seq          bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
    origin       text COLLATE "C" NOT NULL,
    name         text COLLATE "C" NOT NULL,
    source       text COLLATE "C" NOT NULL,
    id           text COLLATE "C" NOT NULL,
    -- What stands for the ordering key: those that share it are handled in order.
    lane         bytea,
    topic        text             NOT NULL,
    key          text COLLATE "C",
    type         text             NOT NULL,
    payload      bytea            NOT NULL,
    content_type text             NOT NULL,
    headers      text             NOT NULL,
    created_at   timestamptz      NOT NULL,
    -- Not handled before this time, and until then what comes after it in its lane waits, too.
    due_at       timestamptz      NOT NULL DEFAULT clock_timestamp(),
    -- Who handles it, until when, and how often somebody began to.
    owner        uuid,
    until        timestamptz,
    taken        integer          NOT NULL DEFAULT 0,
    done_at      timestamptz,
    UNIQUE (id, origin, name, source)
);

CREATE INDEX IF NOT EXISTS idem_inbox_waiting ON idem_inbox (origin, name, seq) WHERE done_at IS NULL;
CREATE INDEX IF NOT EXISTS idem_inbox_lane ON idem_inbox (origin, name, lane, seq) WHERE done_at IS NULL;
CREATE INDEX IF NOT EXISTS idem_inbox_done ON idem_inbox (done_at) WHERE done_at IS NOT NULL;

-- The relays that run, and what each one takes.
CREATE TABLE IF NOT EXISTS idem_relays (
    owner   uuid        NOT NULL PRIMARY KEY,
    target  text        NOT NULL,
    -- What others see it by, while it lives. NULL: they wait until its lease ends.
    session text,
    -- A JSON array. NULL: all topics.
    topics  text,
    -- A bit for each shard.
    shards  bigint      NOT NULL,
    -- The end of its lease.
    until   timestamptz NOT NULL
);

-- The version of this schema, and the ID of this database that every event ID is derived from. One
-- row.
CREATE TABLE IF NOT EXISTS idem_schema (
    one       boolean NOT NULL PRIMARY KEY DEFAULT true CHECK (one),
    version   integer NOT NULL,
    namespace uuid    NOT NULL DEFAULT gen_random_uuid()
);

INSERT INTO idem_schema (version) VALUES (1) ON CONFLICT DO NOTHING;

-- What a call does to these tables. A handler may change its role and its search_path, and its call
-- must still reach the same tables. So the functions run with the rights of their owner, and name
-- everything with its schema, types too: a caller could put a type of its own in front of another. USAGE on the schema is all that a role needs to call them.
DO $make$
DECLARE
    here      text := current_schema();
    version   integer;
    namespace uuid;
BEGIN
    IF getdatabaseencoding() <> 'UTF8' THEN
        RAISE EXCEPTION 'idem: the encoding of this database is %, and it must be UTF8: topics, keys and headers may hold any text',
            getdatabaseencoding();
    END IF;
    SELECT s.version, s.namespace INTO version, namespace FROM idem_schema AS s;

    -- Where and whose the tables are: version, namespace, schema. Clients read it from the text of
    -- this function, since that can't fail in a transaction of somebody else.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_home() RETURNS text LANGUAGE sql IMMUTABLE AS
        $$SELECT %2$L$$
    $function$, here, format('%s %s %s', version, namespace, here));

    -- Claims a key for the_retention milliseconds. `own` says that the call has begun this very
    -- transaction: then a taken key is an error, since an error is the only answer that a client
    -- sees when it sends BEGIN in the same round trip. In a transaction of somebody else an error
    -- would abort that transaction, so there a taken key is `false`.
    --
    -- The calls that want one key queue for an advisory lock, so that wait_ms bounds the whole
    -- wait. Waiting for one holder after the other would take wait_ms each.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_claim(
            own boolean, the_schema text, the_namespace uuid, wait_ms integer, queue bigint,
            the_scope text, the_key bytea, the_fingerprint bytea, the_retention bigint)
        RETURNS boolean LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE
            before  pg_catalog.text := pg_catalog.current_setting('lock_timeout');
            claimed boolean;
            -- An assignment is evaluated at once. PERFORM would run a statement.
            unused  pg_catalog.text;
        BEGIN
            IF own AND pg_catalog.transaction_timestamp() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp() THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM03',
                    MESSAGE = 'idem: the connection was in a transaction that somebody else began';
            END IF;
            IF the_namespace OPERATOR(pg_catalog.<>) %2$L::pg_catalog.uuid OR the_schema OPERATOR(pg_catalog.<>) %3$L THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM04',
                    MESSAGE = 'idem: these are the tables of another database or schema';
            END IF;
            unused := pg_catalog.set_config('idem.home', %3$L, true);
            unused := pg_catalog.set_config('lock_timeout', wait_ms::pg_catalog.text, true);
            unused := pg_catalog.pg_advisory_xact_lock(queue);
            INSERT INTO %1$I.idem_keys (scope, key, fingerprint, expires_at)
            VALUES (the_scope, the_key, the_fingerprint, pg_catalog.clock_timestamp()
                OPERATOR(pg_catalog.+) (the_retention OPERATOR(pg_catalog.*) '1 millisecond'::pg_catalog.interval))
            ON CONFLICT DO NOTHING;
            claimed := FOUND;
            IF own AND NOT claimed THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM01', MESSAGE = 'idem: this delivery was handled before';
            END IF;
            unused := pg_catalog.set_config('lock_timeout', before, true);
            RETURN claimed;
        END
        $$
    $function$, here, namespace, here);

    -- Begins a transaction without a key: the checks of idem_claim, and nothing else.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_begin(own boolean, the_schema text)
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE
            unused pg_catalog.text;
        BEGIN
            IF own AND pg_catalog.transaction_timestamp() OPERATOR(pg_catalog.<>) pg_catalog.statement_timestamp() THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM03',
                    MESSAGE = 'idem: the connection was in a transaction that somebody else began';
            END IF;
            IF the_schema OPERATOR(pg_catalog.<>) %2$L THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM04',
                    MESSAGE = 'idem: these are the tables of another database or schema';
            END IF;
            unused := pg_catalog.set_config('idem.home', %2$L, true);
        END
        $$
    $function$, here, here);

    -- What an earlier delivery stored: state, version of the result, fingerprint and result, the
    -- last two in hexadecimal or `-`. NULL if there is no such key.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_find(the_scope text, the_key bytea)
        RETURNS text LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            RETURN (
                SELECT pg_catalog.concat_ws(' ', state, result_version,
                    coalesce(pg_catalog.encode(fingerprint, 'hex'), '-'), coalesce(pg_catalog.encode(result, 'hex'), '-'))
                FROM %1$I.idem_keys
                WHERE scope OPERATOR(pg_catalog.=) the_scope AND key OPERATOR(pg_catalog.=) the_key);
        END
        $$
    $function$, here);

    -- Adds events. One of an earlier execution, whose key was purged since, has the same ID: with
    -- the same content it stays as it is, with another one it is an error.
    --
    -- The transaction gets its ID before its events get their numbers. So once all transactions
    -- with an ID below a certain one have ended, no number from before that can turn up any more.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_emit(
            ids uuid[], shards smallint[], topics text[], keys text[], types text[], payloads bytea[], content_types text[],
            headers text[])
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
        DECLARE
            added  bigint;
            unused pg_catalog.xid8;
        BEGIN
            unused := pg_catalog.pg_current_xact_id();
            INSERT INTO %1$I.idem_outbox (id, shard, topic, key, type, payload, content_type, headers)
            SELECT event.id, event.shard, event.topic, event.key, event.type, event.payload, event.content_type, event.headers
            FROM unnest(ids, shards, topics, keys, types, payloads, content_types, headers) WITH ORDINALITY
                AS event (id, shard, topic, key, type, payload, content_type, headers, place)
            ORDER BY event.place
            ON CONFLICT (id) DO NOTHING;
            GET DIAGNOSTICS added = ROW_COUNT;
            IF added OPERATOR(pg_catalog.<>) pg_catalog.cardinality(ids) AND EXISTS (
                SELECT FROM unnest(ids, topics, keys, types, payloads)
                    AS event (id, topic, key, type, payload)
                JOIN %1$I.idem_outbox AS earlier ON earlier.id OPERATOR(pg_catalog.=) event.id
                WHERE NOT (earlier.topic OPERATOR(pg_catalog.=) event.topic
                    AND coalesce(earlier.key, '') OPERATOR(pg_catalog.=) coalesce(event.key, '')
                    AND earlier.type OPERATOR(pg_catalog.=) event.type
                    AND earlier.payload OPERATOR(pg_catalog.=) event.payload))
            THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM05',
                    MESSAGE = 'idem: an event with this ID and other content is in the outbox';
            END IF;
        END
        $$
    $function$, here);

    -- Ends a claim, in the transaction that made it or not at all.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_finish(
            the_scope text, the_key bytea, the_state integer, the_result bytea, the_version integer)
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            UPDATE %1$I.idem_keys
            SET state = the_state, result = the_result, result_version = the_version
            WHERE scope OPERATOR(pg_catalog.=) the_scope AND key OPERATOR(pg_catalog.=) the_key
                AND state OPERATOR(pg_catalog.=) 0 AND xid OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id();
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM02', MESSAGE = 'idem: this is not the transaction that claimed';
            END IF;
        END
        $$
    $function$, here);

    -- Bounds the waits of the next statement, and remembers what bounded them before. A lock_timeout
    -- bounds each wait, and a statement_timeout their sum, with time for the work itself; one that
    -- the session has already stays.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_wait_at_most(wait_ms integer)
        RETURNS void LANGUAGE plpgsql AS $$
        DECLARE
            the_work CONSTANT pg_catalog.int8 := 2000;
            before   pg_catalog.text := pg_catalog.current_setting('statement_timeout');
            unused   pg_catalog.text;
        BEGIN
            unused := pg_catalog.set_config('idem.statement_timeout', before, true);
            unused := pg_catalog.set_config('idem.lock_timeout', pg_catalog.current_setting('lock_timeout'), true);
            unused := pg_catalog.set_config('lock_timeout', wait_ms::pg_catalog.text, true);
            IF before OPERATOR(pg_catalog.=) '0' THEN
                unused := pg_catalog.set_config('statement_timeout', least(
                    wait_ms OPERATOR(pg_catalog.+) the_work, 2147483647)::pg_catalog.text, true);
            END IF;
        END
        $$
    $function$, here);

    -- Claims many keys of one scope, given once each and in their order, in a transaction that was
    -- begun before. A row for each key that is there already: its place, and what idem_find says.
    --
    -- Whoever holds a key of them is waited for, for as long as idem_wait_at_most says.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_claim_batch(
            the_schema text, the_namespace uuid, the_scope text, the_keys bytea[], the_fingerprints bytea[],
            the_retention bigint)
        RETURNS SETOF text LANGUAGE plpgsql SECURITY DEFINER
        -- Plans must not depend on what the server thinks of tables that it has not analysed.
        SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
        DECLARE
            claimed pg_catalog._bytea;
            unused  pg_catalog.text;
        BEGIN
            IF the_namespace OPERATOR(pg_catalog.<>) %2$L::pg_catalog.uuid OR the_schema OPERATOR(pg_catalog.<>) %3$L THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM04',
                    MESSAGE = 'idem: these are the tables of another database or schema';
            END IF;
            unused := pg_catalog.set_config('idem.home', %3$L, true);
            unused := pg_catalog.set_config('idem.settings', %1$I.idem_settings(), true);
            WITH added AS (
                INSERT INTO %1$I.idem_keys (scope, key, fingerprint, expires_at)
                SELECT the_scope, claim.key, claim.fingerprint, pg_catalog.clock_timestamp()
                    OPERATOR(pg_catalog.+) (the_retention OPERATOR(pg_catalog.*) '1 millisecond'::pg_catalog.interval)
                FROM unnest(the_keys, the_fingerprints) WITH ORDINALITY AS claim (key, fingerprint, place)
                ORDER BY claim.place
                ON CONFLICT DO NOTHING
                RETURNING key)
            SELECT pg_catalog.array_agg(key) INTO claimed FROM added;
            IF pg_catalog.cardinality(claimed) IS DISTINCT FROM pg_catalog.cardinality(the_keys) THEN
                RETURN QUERY
                SELECT pg_catalog.concat_ws(' ', claim.place, %1$I.idem_find(the_scope, claim.key))
                FROM pg_catalog.unnest(the_keys) WITH ORDINALITY AS claim (key, place)
                WHERE claim.key OPERATOR(pg_catalog.<>) ALL (coalesce(claimed, '{}'));
            END IF;
            unused := pg_catalog.set_config('statement_timeout', pg_catalog.current_setting('idem.statement_timeout'), true);
            unused := pg_catalog.set_config('lock_timeout', pg_catalog.current_setting('idem.lock_timeout'), true);
        END
        $$
    $function$, here, namespace, here);

    -- The role and the search path, which a body of a batch must not leave changed to the next.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_settings()
        RETURNS text LANGUAGE plpgsql AS $$
        BEGIN
            RETURN pg_catalog.concat_ws(' ', pg_catalog.current_setting('role'), pg_catalog.current_setting('search_path'));
        END
        $$
    $function$, here);

    -- Ends the claims of a batch, in the transaction that made them or not at all. `shared`: several
    -- bodies ran in it.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_finish_batch(
            the_scope text, the_keys bytea[], the_states smallint[], the_results bytea[], the_version integer, shared boolean)
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER
        SET enable_seqscan = off SET enable_bitmapscan = off SET enable_hashjoin = off SET enable_mergejoin = off AS $$
        DECLARE
            ended bigint;
        BEGIN
            IF shared AND %1$I.idem_settings() OPERATOR(pg_catalog.<>) pg_catalog.current_setting('idem.settings', true) THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM06',
                    MESSAGE = 'idem: a body of this batch changed the role or the search path';
            END IF;
            -- Each row is found by its key, and changed where it was found: a plain join may read all
            -- rows of the scope.
            UPDATE %1$I.idem_keys AS row
            SET state = ended_claim.state, result = ended_claim.result, result_version = the_version
            FROM unnest(the_keys, the_states, the_results) AS ended_claim (key, state, result)
            CROSS JOIN LATERAL (
                SELECT claimed.ctid FROM %1$I.idem_keys AS claimed
                WHERE claimed.scope OPERATOR(pg_catalog.=) the_scope AND claimed.key OPERATOR(pg_catalog.=) ended_claim.key
                    AND claimed.state OPERATOR(pg_catalog.=) 0 AND claimed.xid OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id()
                OFFSET 0) AS found
            WHERE row.ctid OPERATOR(pg_catalog.=) found.ctid;
            GET DIAGNOSTICS ended = ROW_COUNT;
            IF ended OPERATOR(pg_catalog.<>) pg_catalog.cardinality(the_keys) THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM02', MESSAGE = 'idem: this is not the transaction that claimed';
            END IF;
        END
        $$
    $function$, here);

    -- Both for one event, as most handlers that emit any do. Its transaction has an ID since the
    -- claim.
    EXECUTE format($function$
        CREATE OR REPLACE FUNCTION %1$I.idem_emit_and_finish(
            the_id uuid, the_shard smallint, the_topic text, the_event_key text, the_type text, the_payload bytea,
            the_content_type text, the_headers text, the_scope text, the_key bytea, the_state integer, the_result bytea,
            the_version integer)
        RETURNS void LANGUAGE plpgsql SECURITY DEFINER AS $$
        BEGIN
            INSERT INTO %1$I.idem_outbox (id, shard, topic, key, type, payload, content_type, headers)
            VALUES (the_id, the_shard, the_topic, the_event_key, the_type, the_payload, the_content_type, the_headers)
            ON CONFLICT (id) DO NOTHING;
            IF NOT FOUND THEN
                PERFORM %1$I.idem_emit(ARRAY[the_id], ARRAY[the_shard], ARRAY[the_topic], ARRAY[the_event_key],
                    ARRAY[the_type], ARRAY[the_payload], ARRAY[the_content_type], ARRAY[the_headers]);
            END IF;
            UPDATE %1$I.idem_keys
            SET state = the_state, result = the_result, result_version = the_version
            WHERE scope OPERATOR(pg_catalog.=) the_scope AND key OPERATOR(pg_catalog.=) the_key
                AND state OPERATOR(pg_catalog.=) 0 AND xid OPERATOR(pg_catalog.=) pg_catalog.pg_current_xact_id();
            IF NOT FOUND THEN
                RAISE EXCEPTION USING ERRCODE = 'IDM02', MESSAGE = 'idem: this is not the transaction that claimed';
            END IF;
        END
        $$
    $function$, here);
END
$make$;
