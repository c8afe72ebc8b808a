-- The store, schema version 1. This file equals all migrations applied (a test proves it).
-- Tables (hush_*) are private and migrate; the four views at the end are the public read contract.
-- Booleans are 0/1, *_ns unix nanoseconds, *_at unix seconds (REAL), ids BLOBs of 16 and 8 bytes.

CREATE TABLE hush_meta (
    key   TEXT PRIMARY KEY,     -- schema_version, epoch (the fence), end_seq, owner, spool
    value NOT NULL
) WITHOUT ROWID;

-- How far each segment is drained. Moves in the same transaction as the rows: exactly once.
CREATE TABLE hush_segments (
    segment_id  BLOB PRIMARY KEY,
    writer_id   BLOB NOT NULL,
    position    INTEGER NOT NULL,             -- byte offset of the first frame not yet ingested
    ended       INTEGER NOT NULL DEFAULT 0,   -- nothing more will be read from it
    dropped     TEXT NOT NULL DEFAULT '{}',   -- the header's drop counters as last added to hush_losses
    updated_at  REAL NOT NULL
) WITHOUT ROWID;

-- Distinct (resource, scope) pairs.
CREATE TABLE hush_origins (
    id                  INTEGER PRIMARY KEY,
    digest              BLOB NOT NULL UNIQUE,
    resource            TEXT NOT NULL,        -- JSON object
    resource_schema_url TEXT NOT NULL,
    scope               TEXT NOT NULL,        -- JSON {name, version, schema_url, attributes}
    exact               BLOB                  -- msgpack copy when JSON cannot carry the types
);

-- A trace id as a small integer, so that span keys sort in arrival order.
CREATE TABLE hush_traces (
    id       INTEGER PRIMARY KEY,
    trace_id BLOB NOT NULL UNIQUE,
    request  INTEGER NOT NULL                 -- where its spans go unless they name another request
);

CREATE TABLE hush_requests (
    id                INTEGER PRIMARY KEY AUTOINCREMENT,  -- a merged request's number names no other one later
    request_id        TEXT NOT NULL UNIQUE,
    named             INTEGER NOT NULL DEFAULT 0,  -- request_id was given, not the trace id in hex
    trace             INTEGER,
    workflow_name     TEXT,
    user_id           TEXT,
    session_id        TEXT,
    tags              TEXT,                   -- JSON list: span_tags, then marked_tags, each once (store/tags.py)
    tracer_type       TEXT,                   -- of the last mark
    tracer_config     TEXT,                   -- of the last mark, secrets masked
    start_ns          INTEGER,
    end_ns            INTEGER,
    node_count        INTEGER NOT NULL DEFAULT 0,
    running_count     INTEGER NOT NULL DEFAULT 0,
    error_count       INTEGER NOT NULL DEFAULT 0,
    prompt_tokens     INTEGER,
    completion_tokens INTEGER,
    total_tokens      INTEGER,
    cost_usd          REAL,
    computed_usd      REAL,                   -- the part of it that a price table says, not the spans
    error_message     TEXT,                   -- of the first span that failed
    max_seq           INTEGER NOT NULL DEFAULT 0,  -- highest end_seq among its rows
    created_at        REAL NOT NULL,
    last_at           REAL NOT NULL,          -- when its last record arrived
    completed_at      REAL,
    completed_by      TEXT,                   -- root | mark | owner_died | timeout
    due_at            REAL,                   -- when its new rows are to be queued; NULL: nothing new
    dirty_at          REAL,                   -- when the first row after the last queueing arrived
    has_nodes         INTEGER NOT NULL DEFAULT 0,  -- holds node traces, whose parents are found at queueing
    writer_id         BLOB,                   -- the process that opened it
    span_tags         TEXT,                   -- JSON list: what its spans say, 100 at most
    marked_tags       TEXT                    -- JSON list: of the last mark that had some
);
CREATE INDEX hush_requests_created ON hush_requests (created_at);
CREATE INDEX hush_requests_open ON hush_requests (last_at) WHERE completed_by IS NULL;
CREATE INDEX hush_requests_writer ON hush_requests (writer_id) WHERE completed_by IS NULL;
CREATE INDEX hush_requests_due ON hush_requests (due_at) WHERE due_at IS NOT NULL;
CREATE INDEX hush_requests_awaited ON hush_requests (completed_at) WHERE completed_by = 'mark' AND max_seq = 0;
-- What people look for among millions: presentation/listing.py takes the way with the fewest candidates.
CREATE INDEX hush_requests_workflow ON hush_requests (workflow_name, created_at) WHERE workflow_name IS NOT NULL;
CREATE INDEX hush_requests_user ON hush_requests (user_id, created_at) WHERE user_id IS NOT NULL;
CREATE INDEX hush_requests_session ON hush_requests (session_id, created_at) WHERE session_id IS NOT NULL;
CREATE INDEX hush_requests_failed ON hush_requests (created_at) WHERE error_count > 0;
CREATE INDEX hush_requests_slow ON hush_requests (end_ns - start_ns) WHERE end_ns IS NOT NULL;

-- What a request has several of, and is looked for by: the models of its spans, its tags.
CREATE TABLE hush_request_labels (
    request    INTEGER NOT NULL,
    kind       INTEGER NOT NULL,              -- 0 model, 1 tag
    label      TEXT NOT NULL,
    created_at REAL NOT NULL,                 -- the request's, so that the newest are found by index
    PRIMARY KEY (request, kind, label)
) WITHOUT ROWID;
CREATE INDEX hush_request_labels_label ON hush_request_labels (kind, label, created_at);

CREATE TABLE hush_spans (
    id                INTEGER PRIMARY KEY,
    trace             INTEGER NOT NULL,
    span_id           BLOB NOT NULL,
    parent_span_id    BLOB,
    request           INTEGER NOT NULL,
    origin            INTEGER NOT NULL,
    route             INTEGER,                -- which destinations its capture asked for
    state             INTEGER NOT NULL,       -- 0 running, 1 ended, 2 interrupted
    end_seq           INTEGER,                -- grows with every row that ended; NULL while running
    flags             INTEGER NOT NULL,       -- OTLP Span.flags
    name              TEXT NOT NULL,
    kind              INTEGER NOT NULL,       -- OTLP SpanKind
    start_ns          INTEGER NOT NULL,
    end_ns            INTEGER,
    status_code       INTEGER NOT NULL DEFAULT 0,
    status_message    TEXT,
    trace_state       TEXT,
    dropped           TEXT,                   -- JSON [attributes, events, links], NULL when all zero
    model             TEXT,
    prompt_tokens     INTEGER,
    completion_tokens INTEGER,
    total_tokens      INTEGER,
    cost_usd          REAL,
    cost_source       TEXT,                   -- of a computed cost: price table, its date, model; NULL: given
    user_id           TEXT,
    session_id        TEXT,
    node_type         TEXT,
    repeats           INTEGER,                -- 1: its tokens and cost only repeat what counts below it
    node_key          TEXT,                   -- node_name and context_id: node traces only
    created_at        REAL NOT NULL,
    large             INTEGER,                -- bits: 1 some attributes lie in hush_span_payloads, 2 it has media
    title             TEXT,                   -- what a reader wants to see instead of the name; NULL: the name
    -- What may be long comes last: whoever reads the columns before it does not touch its overflow pages.
    node              TEXT,                   -- JSON {node_name, node_type, parent_name, …}, verbatim: node traces only
    attributes        TEXT NOT NULL,          -- JSON object
    events            TEXT,                   -- JSON list, NULL when empty
    links             TEXT,                   -- JSON list, NULL when empty
    exact             BLOB,                   -- msgpack copy when JSON cannot carry the types
    UNIQUE (trace, span_id)
);
-- With the route: whoever counts what a destination is owed reads no row.
CREATE INDEX hush_spans_request ON hush_spans (request, end_seq, route);
CREATE INDEX hush_spans_node ON hush_spans (trace, node_key) WHERE node_key IS NOT NULL;

-- Long texts of attributes, each once: the same document goes through many steps of a workflow.
CREATE TABLE hush_payloads (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,
    json   TEXT NOT NULL                      -- a JSON string
);
CREATE TABLE hush_span_payloads (
    span    INTEGER NOT NULL,
    key     TEXT NOT NULL,                    -- of the attribute
    payload INTEGER NOT NULL,
    PRIMARY KEY (span, key)
) WITHOUT ROWID;
CREATE INDEX hush_span_payloads_payload ON hush_span_payloads (payload);

-- Files that belong to node traces (mapping/media.py), each once. No view joins them: whoever wants one asks for it.
CREATE TABLE hush_media (
    id     INTEGER PRIMARY KEY,
    digest BLOB NOT NULL UNIQUE,              -- SHA-256
    data   BLOB NOT NULL
);
CREATE TABLE hush_span_media (
    span         INTEGER NOT NULL,
    number       INTEGER NOT NULL,            -- which of the span's
    media        INTEGER NOT NULL,
    content_type TEXT NOT NULL,
    PRIMARY KEY (span, number)
) WITHOUT ROWID;
CREATE INDEX hush_span_media_media ON hush_span_media (media);

-- The full-text index, hush_search (store/search_index.py), is made where SQLite has FTS5. Its documents hold the words
-- of some spans of one request; here stands which. A document's number is its request's * 2^20 + its place in it.
CREATE TABLE hush_search_docs (
    span INTEGER PRIMARY KEY,
    doc  INTEGER NOT NULL
);
CREATE INDEX hush_search_docs_doc ON hush_search_docs (doc);
-- Spans that are to be looked at once more: they ended, or changed, when the index was past them.
CREATE TABLE hush_search_again (
    span INTEGER PRIMARY KEY
);

-- Spans that have not ended, by the process that runs them.
CREATE TABLE hush_running (
    span        INTEGER PRIMARY KEY,
    writer_id   BLOB NOT NULL,
    provisional BLOB                          -- an end seen in a forked child, used only if the owner dies
);
CREATE INDEX hush_running_writer ON hush_running (writer_id);

CREATE TABLE hush_destinations (
    id          INTEGER PRIMARY KEY,
    name        TEXT NOT NULL UNIQUE,
    type        TEXT NOT NULL,
    config      TEXT NOT NULL,                -- JSON, secrets masked
    digest      BLOB NOT NULL,                -- of the whole configuration
    fingerprints TEXT NOT NULL DEFAULT '{}',  -- JSON: what applications say of the secrets it refers to (secrets.py)
    paused      TEXT,                         -- why nothing is sent; NULL: active
    hold_until  REAL NOT NULL DEFAULT 0,      -- backoff, a receiver's Retry-After, or a probe's time
    hold_s      REAL NOT NULL DEFAULT 0,      -- how long that was when it began: no clock makes it longer
    failures    INTEGER NOT NULL DEFAULT 0,   -- retryable ones in a row
    delivered   INTEGER NOT NULL DEFAULT 0,   -- spans
    minute      INTEGER NOT NULL DEFAULT 0,   -- unix time / 60 of the last delivery
    minute_spans INTEGER NOT NULL DEFAULT 0,  -- delivered in that minute
    minute_before INTEGER NOT NULL DEFAULT 0, -- and in the one before it
    rejected    INTEGER NOT NULL DEFAULT 0,   -- spans, by partial success
    asked       INTEGER NOT NULL DEFAULT 0,   -- spans of all deliveries ever queued (the triggers below)
    pruned      INTEGER NOT NULL DEFAULT 0,   -- spans of deliveries that were deleted without having been delivered
    accepted_at REAL,                         -- when it last accepted a request
    last_error  TEXT,
    last_error_at REAL
);

-- Literal secrets, apart from everything that is shown: [path in the configuration, value].
CREATE TABLE hush_secrets (
    destination INTEGER PRIMARY KEY,
    literals    TEXT NOT NULL
);

-- A route is the set of destinations that one capture asked for.
CREATE TABLE hush_routes (
    route       INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    PRIMARY KEY (route, destination)
) WITHOUT ROWID;

-- What each request owes to each destination, and how far it is queued.
CREATE TABLE hush_request_destinations (
    request     INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    whole       INTEGER NOT NULL DEFAULT 0,   -- asked for by a mark: the whole request, not a route's share
    queued_seq  INTEGER NOT NULL DEFAULT 0,
    PRIMARY KEY (request, destination)
) WITHOUT ROWID;

-- Which process asked for which request to be delivered where (wait_delivered).
CREATE TABLE hush_askers (
    writer_id   BLOB NOT NULL,
    request     INTEGER NOT NULL,
    destination INTEGER NOT NULL,
    PRIMARY KEY (writer_id, request, destination)
) WITHOUT ROWID;
CREATE INDEX hush_askers_request ON hush_askers (request);

CREATE TABLE hush_deliveries (
    id              INTEGER PRIMARY KEY,
    request         INTEGER NOT NULL,
    destination     INTEGER NOT NULL,
    from_seq        INTEGER NOT NULL,         -- rows with from_seq < end_seq <= to_seq
    to_seq          INTEGER NOT NULL,
    only_seqs       TEXT,                     -- JSON list: of these rows only, which the receiver refused
    without_seqs    TEXT,                     -- JSON list: without these rows, which another delivery holds
    state           TEXT NOT NULL,            -- pending | sending | delivered | paused | dead
    attempts        INTEGER NOT NULL DEFAULT 0,
    next_attempt_at REAL,
    last_error      TEXT,
    span_count      INTEGER NOT NULL,
    rejected        INTEGER NOT NULL DEFAULT 0,
    created_at      REAL NOT NULL,
    retried_at      REAL,                     -- when somebody last asked for it again: its age begins anew
    settled_at      REAL
);
CREATE INDEX hush_deliveries_due ON hush_deliveries (destination, next_attempt_at)
    WHERE state IN ('pending', 'sending', 'paused');
CREATE INDEX hush_deliveries_request ON hush_deliveries (request);
CREATE INDEX hush_deliveries_dead ON hush_deliveries (destination) WHERE state = 'dead';

-- What was asked for is counted apart from the rows, whoever makes them: a row that disappears is missed.
CREATE TRIGGER hush_deliveries_queued AFTER INSERT ON hush_deliveries BEGIN
    UPDATE hush_destinations SET asked = asked + NEW.span_count WHERE id = NEW.destination;
END;
CREATE TRIGGER hush_deliveries_resized AFTER UPDATE OF span_count ON hush_deliveries BEGIN
    UPDATE hush_destinations SET asked = asked + NEW.span_count - OLD.span_count WHERE id = NEW.destination;
END;

-- The receiving side of the ledger: what the drain has read, and what became of it without being a row or a loss.
CREATE TABLE hush_ledger (
    name  TEXT PRIMARY KEY,                   -- store/ledger.py lists them
    count INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- What people asked for by a command (retry, replay), which comes through the spool like any record.
CREATE TABLE hush_commands (
    id         BLOB PRIMARY KEY,              -- 16 bytes, by whoever asked
    name       TEXT NOT NULL,
    result     TEXT NOT NULL,                 -- JSON object
    applied_at REAL NOT NULL
) WITHOUT ROWID;

-- Every loss, by reason (I4). Also duplicates, which are no loss but part of the ledger.
CREATE TABLE hush_losses (
    reason TEXT PRIMARY KEY,
    count  INTEGER NOT NULL DEFAULT 0,
    bytes  INTEGER NOT NULL DEFAULT 0
) WITHOUT ROWID;

-- What retention may delete: kept 0 when nothing more is to be done with a request, 1 when some destination has
-- not accepted all of it, 2 when it is not complete, runs, waits to be queued or is being sent.
CREATE VIEW hush_prunable AS
SELECT r.id, r.request_id, r.workflow_name, r.created_at, r.last_at, r.node_count,
       CASE WHEN r.completed_by IS NULL OR r.due_at IS NOT NULL OR r.running_count > 0
                 OR EXISTS (SELECT 1 FROM hush_spans s WHERE s.request = r.id AND s.end_seq IS NULL) THEN 2
            ELSE coalesce((SELECT max(CASE d.state WHEN 'delivered' THEN 0 WHEN 'sending' THEN 2 ELSE 1 END)
                           FROM hush_deliveries d WHERE d.request = r.id), 0)
       END AS kept
FROM hush_requests r;

-- Attributes of events that have one of the GenAI conventions' names, in the order of the events.
CREATE VIEW hush_event_texts AS
SELECT s.id AS span, a.key, a.value AS text
FROM hush_spans s, json_each(s.events) e, json_each(e.value, '$.attributes') a
WHERE e.value ->> '$.name' GLOB 'gen_ai.*' AND a.type <> 'null';

-- Messages in the events of spans, one a row, as JSON: mapping/dialects/event_messages.py says which and how.
-- Each json_each('[' || … || ']') is one row with a value that is used more than once: the event's fields, an answer's
-- message, what is said by whom, its content and its calls. A text that is taken for JSON has room for the brackets around
-- it: SQLite reads 2,000 levels, and one more would be an error of the whole query.
CREATE VIEW hush_event_messages AS
SELECT s.id AS span,
       event.value ->> '$.name' = 'gen_ai.choice' AS is_answer,
       '{"role":' || json_quote(CASE
                         WHEN json_type(said.value, '$.role') = 'text' THEN said.value ->> '$.role'
                         WHEN event.value ->> '$.name' IN ('gen_ai.choice', 'gen_ai.assistant.message') THEN 'assistant'
                         ELSE replace(substr(event.value ->> '$.name', 8), '.message', '') END)
           || CASE
                  WHEN content.type = 'null' THEN ''
                  WHEN content.type = 'text' AND substr(ltrim(content.value, char(9, 10, 13, 32)), 1, 1) IN ('{', '[') AND json_valid(content.value)
                      THEN ',"content":' || content.value
                  ELSE ',"content":' || (said.value -> '$.content') END
           || CASE
                  WHEN calls.type = 'null' THEN ''
                  WHEN calls.type = 'text' AND substr(ltrim(calls.value, char(9, 10, 13, 32)), 1, 1) IN ('{', '[') AND json_valid(calls.value)
                      THEN ',"tool_calls":' || calls.value
                  ELSE ',"tool_calls":' || (said.value -> '$.tool_calls') END
           || CASE WHEN event.value ->> '$.name' = 'gen_ai.tool.message'
                  THEN coalesce(',"tool_call_id":' || nullif(fields.value -> '$.id', 'null'), '') ELSE '' END
           || coalesce(',"finish_reason":' || nullif(fields.value -> '$.finish_reason', 'null'), '')
           || '}' AS message
FROM hush_spans s,
     json_each(s.events) event,
     json_each('[' || CASE
         WHEN coalesce(json_type(CASE WHEN json_valid('[[[[' || (event.value ->> '$.attributes."gen_ai.event.content"') || ']]]]')
                                      THEN event.value ->> '$.attributes."gen_ai.event.content"' END), '') = 'object'
             THEN event.value ->> '$.attributes."gen_ai.event.content"'
         ELSE event.value -> '$.attributes' END || ']') fields,
     json_each('[' || CASE
         WHEN event.value ->> '$.name' <> 'gen_ai.choice' OR json_type(fields.value, '$.message') IS NULL THEN 'null'
         WHEN json_type(fields.value, '$.message') <> 'text' THEN fields.value -> '$.message'
         WHEN substr(ltrim(fields.value ->> '$.message', char(9, 10, 13, 32)), 1, 1) IN ('{', '[') AND json_valid('[[[[' || (fields.value ->> '$.message') || ']]]]')
             THEN fields.value ->> '$.message'
         ELSE fields.value -> '$.message' END || ']') answer,
     json_each('[' || CASE
         WHEN answer.type = 'null' THEN fields.value
         WHEN answer.type = 'object' AND coalesce(json_type(answer.value, '$.content'), json_type(answer.value, '$.tool_calls')) IS NOT NULL
             THEN answer.value
         ELSE '{"content":' || CASE answer.type WHEN 'text' THEN json_quote(answer.value) ELSE answer.value END || '}' END || ']') said,
     json_each('[' || coalesce(said.value -> '$.content', 'null') || ']') content,
     json_each('[' || coalesce(said.value -> '$.tool_calls', 'null') || ']') calls
WHERE event.value ->> '$.name' IN ('gen_ai.system.message', 'gen_ai.user.message', 'gen_ai.assistant.message',
                               'gen_ai.tool.message', 'gen_ai.choice');

-- ---------------------------------------------------------------- public views

CREATE VIEW requests AS
SELECT r.request_id,
       CASE WHEN t.trace_id IS NOT NULL THEN lower(hex(t.trace_id)) END AS trace_id,
       r.workflow_name,
       CASE
           WHEN r.completed_by IS NULL THEN 'writing'
           WHEN EXISTS (SELECT 1 FROM hush_deliveries d WHERE d.request = r.id AND d.state = 'dead') THEN 'failed'
           WHEN EXISTS (SELECT 1 FROM hush_deliveries d WHERE d.request = r.id AND d.state = 'sending') THEN 'flushing'
           WHEN EXISTS (SELECT 1 FROM hush_deliveries d
                        WHERE d.request = r.id AND d.state IN ('pending', 'paused')) THEN 'pending'
           WHEN NOT EXISTS (SELECT 1 FROM hush_request_destinations q WHERE q.request = r.id) THEN 'stored'
           WHEN r.due_at IS NOT NULL THEN 'pending'
           WHEN r.completed_by = 'mark' AND r.max_seq = 0 THEN 'pending'  -- no span of it has ended yet
           ELSE 'flushed'
       END AS status,
       r.completed_by,
       r.tracer_type,
       r.tracer_config,
       r.tags,
       r.user_id,
       r.session_id,
       strftime('%Y-%m-%dT%H:%M:%S', r.start_ns / 1000000000, 'unixepoch')
           || printf('.%06dZ', r.start_ns / 1000 % 1000000) AS start_time,
       strftime('%Y-%m-%dT%H:%M:%S', r.end_ns / 1000000000, 'unixepoch')
           || printf('.%06dZ', r.end_ns / 1000 % 1000000) AS end_time,
       (r.end_ns - r.start_ns) / 1e6 AS duration_ms,
       r.node_count,
       r.error_count,
       r.prompt_tokens,
       r.completion_tokens,
       r.total_tokens,
       r.cost_usd,
       r.error_message,
       (SELECT coalesce(sum(max(d.attempts - 1, 0)), 0) FROM hush_deliveries d WHERE d.request = r.id) AS retry_count,
       r.created_at,
       r.completed_at,
       (SELECT max(d.settled_at) FROM hush_deliveries d WHERE d.request = r.id AND d.state = 'delivered') AS flushed_at
FROM hush_requests r
LEFT JOIN hush_traces t ON t.id = r.trace;

CREATE VIEW node_traces AS
SELECT s.id,
       r.request_id,
       r.workflow_name,
       coalesce(s.node ->> 'node_name', s.title, s.name) AS node_name,
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'node_type' ELSE s.node_type END AS node_type,
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'parent_name'
            ELSE (SELECT coalesce(p.title, p.name) FROM hush_spans p WHERE p.trace = s.trace AND p.span_id = s.parent_span_id)
       END AS parent_name,
       -- A node's span that was sent and came back has its name as title: no other's attributes are read here.
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'context_id'
            WHEN s.title IS NOT NULL THEN s.attributes ->> '$."hush.context_id"' END AS context_id,
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'execution_order'
            WHEN s.title IS NOT NULL THEN s.attributes ->> '$."hush.execution_order"' END AS execution_order,
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'start_time'
            ELSE strftime('%Y-%m-%dT%H:%M:%S', s.start_ns / 1000000000, 'unixepoch')
                 || printf('.%06dZ', s.start_ns / 1000 % 1000000) END AS start_time,
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'end_time'
            ELSE strftime('%Y-%m-%dT%H:%M:%S', s.end_ns / 1000000000, 'unixepoch')
                 || printf('.%06dZ', s.end_ns / 1000 % 1000000) END AS end_time,
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'duration_ms'
            ELSE (s.end_ns - s.start_ns) / 1e6 END AS duration_ms,
       -- Keys and their order are those of mapping/dialects/content.py. OpenLLMetry of before 2026 has an attribute for each
       -- part of a message: {"0.role": …, "0.content": …}. Instructions that stand apart go before a list of messages.
       -- Each step is materialized: SQLite would write what a step reads into each place where it is used.
       (WITH said AS MATERIALIZED (
            SELECT coalesce(a ->> '$."gen_ai.system_instructions"',
                            CASE WHEN instr(s.events, '"gen_ai.system_instructions"') THEN
                                (SELECT text FROM hush_event_texts
                                 WHERE span = s.id AND key = 'gen_ai.system_instructions') END) AS told,
                   coalesce(a ->> '$."input.value"', a ->> '$."gen_ai.input.messages"',
                            a ->> '$."gen_ai.tool.call.arguments"', a ->> '$."langfuse.observation.input"',
                            a ->> '$."traceloop.entity.input"', a ->> '$."mlflow.spanInputs"',
                            a ->> '$."gen_ai.prompt"', a ->> '$."pydantic_ai.all_messages"',
                            a ->> '$."tool_arguments"',
                            (SELECT nullif(json_group_object(substr(key, 15), value), '{}')
                             FROM json_each(a) WHERE key GLOB 'gen_ai.prompt.[0-9]*'),
                            CASE WHEN instr(s.events, '"gen_ai.') THEN coalesce(
                                (SELECT text FROM hush_event_texts WHERE span = s.id AND key = 'gen_ai.input.messages'),
                                (SELECT text FROM hush_event_texts WHERE span = s.id AND key = 'gen_ai.prompt'),
                                (SELECT '[' || group_concat(message, ',') || ']'
                                 FROM hush_event_messages WHERE span = s.id AND NOT is_answer)) END) AS content
            FROM (SELECT CASE WHEN s.large IS NULL THEN s.attributes ELSE
                      json_patch(s.attributes, (SELECT json_group_object(l.key, json(p.json))
                                                FROM hush_span_payloads l JOIN hush_payloads p ON p.id = l.payload
                                                WHERE l.span = s.id)) END AS a)),
        listed AS MATERIALIZED (
            SELECT content, told,
                   CASE WHEN told IS NULL OR NOT json_valid(told) THEN 0 ELSE json_type(told) = 'array' END AS is_list
            FROM said),
        instructed AS MATERIALIZED (
            SELECT content,
                   CASE WHEN is_list THEN told WHEN told IS NOT NULL
                        THEN json_array(json_object('type', 'text', 'content', told)) END AS parts,
                   nullif(CASE WHEN is_list THEN
                       (SELECT group_concat(CASE type WHEN 'text' THEN value WHEN 'object' THEN value ->> '$.content' END, char(10))
                        FROM json_each(told)) ELSE told END, '') AS words
            FROM listed)
        SELECT CASE
            WHEN parts IS NULL OR words IS NULL THEN content
            WHEN content IS NULL THEN '[{"role":"system","parts":' || parts || '}]'
            WHEN NOT json_valid(content) THEN content
            WHEN coalesce(json_type(content, '$[0].role'), '') <> 'text' THEN content
            WHEN content ->> '$[0].role' = 'system' AND words IS (
                CASE WHEN coalesce(json_type(content, '$[0].parts'), json_type(content, '$[0].content')) = 'array'
                THEN (SELECT group_concat(CASE type WHEN 'text' THEN value WHEN 'object' THEN value ->> '$.content' END, char(10))
                      FROM json_each(coalesce(content -> '$[0].parts', content -> '$[0].content')))
                ELSE coalesce(content ->> '$[0].parts', content ->> '$[0].content') END) THEN content
            ELSE '[{"role":"system","parts":' || parts || '},' || substr(ltrim(content, char(9, 10, 13, 32)), 2)
        END
        FROM instructed) AS input_data,
       (SELECT coalesce(a ->> '$."output.value"', a ->> '$."gen_ai.output.messages"',
                        a ->> '$."gen_ai.tool.call.result"', a ->> '$."langfuse.observation.output"',
                        a ->> '$."traceloop.entity.output"', a ->> '$."mlflow.spanOutputs"',
                        a ->> '$."gen_ai.completion"', a ->> '$."final_result"',
                        a ->> '$."tool_response"',
                        (SELECT nullif(json_group_object(substr(key, 19), value), '{}')
                         FROM json_each(a) WHERE key GLOB 'gen_ai.completion.[0-9]*'),
                        CASE WHEN instr(s.events, '"gen_ai.') THEN coalesce(
                            (SELECT text FROM hush_event_texts WHERE span = s.id AND key = 'gen_ai.output.messages'),
                            (SELECT text FROM hush_event_texts WHERE span = s.id AND key = 'gen_ai.completion'),
                            (SELECT '[' || group_concat(message, ',') || ']'
                             FROM hush_event_messages WHERE span = s.id AND is_answer)) END)
        FROM (SELECT CASE WHEN s.large IS NULL THEN s.attributes ELSE
                  json_patch(s.attributes, (SELECT json_group_object(l.key, json(p.json))
                                            FROM hush_span_payloads l JOIN hush_payloads p ON p.id = l.payload
                                            WHERE l.span = s.id)) END AS a)) AS output_data,
       s.user_id,
       s.session_id,
       s.model,
       s.prompt_tokens,
       s.completion_tokens,
       s.total_tokens,
       s.cost_usd,
       coalesce(s.node ->> 'contain_generation', s.node_type IN ('llm', 'embedding'), 0) AS contain_generation,
       CASE WHEN s.node IS NOT NULL THEN s.node ->> 'metadata'
            ELSE s.attributes ->> '$.metadata' END AS metadata,
       CASE s.state WHEN 0 THEN 'running' WHEN 2 THEN 'interrupted'
            ELSE CASE s.status_code WHEN 2 THEN 'error' ELSE 'ok' END END AS status,
       CASE WHEN s.status_code = 2 OR s.state = 2 THEN coalesce(
           s.status_message,
           -- Some instrumentations say it by the exception alone.
           (SELECT coalesce(nullif(type, '') || iif(message <> '', ': ' || message, ''), message)
            FROM (SELECT value ->> '$.attributes."exception.type"' AS type,
                         coalesce(value ->> '$.attributes."exception.message"', '') AS message
                  FROM json_each(s.events)
                  WHERE value ->> 'name' = 'exception' LIMIT 1)),
           '') END AS error,
       lower(hex(t.trace_id)) AS trace_id,
       lower(hex(s.span_id)) AS span_id,
       s.created_at
FROM hush_spans s
JOIN hush_requests r ON r.id = s.request
JOIN hush_traces t ON t.id = s.trace;

CREATE VIEW spans AS
SELECT lower(hex(t.trace_id)) AS trace_id,
       lower(hex(s.span_id)) AS span_id,
       CASE WHEN s.parent_span_id IS NOT NULL THEN lower(hex(s.parent_span_id)) END AS parent_span_id,
       (s.flags & 512) <> 0 AS parent_is_remote,
       coalesce(s.trace_state, '') AS trace_state,
       s.flags,
       s.name,
       CASE s.kind WHEN 2 THEN 'SERVER' WHEN 3 THEN 'CLIENT' WHEN 4 THEN 'PRODUCER' WHEN 5 THEN 'CONSUMER'
            ELSE 'INTERNAL' END AS kind,
       s.start_ns,
       s.end_ns,
       CASE s.state WHEN 0 THEN 'running' WHEN 2 THEN 'interrupted' ELSE 'ended' END AS state,
       CASE s.status_code WHEN 1 THEN 'OK' WHEN 2 THEN 'ERROR' ELSE 'UNSET' END AS status_code,
       coalesce(s.status_message, '') AS status_message,
       CASE WHEN s.large IS NULL THEN s.attributes ELSE
           json_patch(s.attributes, (SELECT json_group_object(l.key, json(p.json))
                                     FROM hush_span_payloads l JOIN hush_payloads p ON p.id = l.payload
                                     WHERE l.span = s.id)) END AS attributes,
       coalesce(s.events, '[]') AS events,
       coalesce(s.links, '[]') AS links,
       coalesce(s.dropped ->> 0, 0) AS dropped_attributes,
       coalesce(s.dropped ->> 1, 0) AS dropped_events,
       coalesce(s.dropped ->> 2, 0) AS dropped_links,
       o.resource,
       o.resource_schema_url,
       o.scope,
       r.request_id
FROM hush_spans s
JOIN hush_traces t ON t.id = s.trace
JOIN hush_origins o ON o.id = s.origin
JOIN hush_requests r ON r.id = s.request;

CREATE VIEW deliveries AS
SELECT d.id,
       r.request_id,
       x.name AS destination,
       d.state,
       d.attempts,
       d.next_attempt_at,
       d.last_error,
       d.span_count,
       d.created_at,
       d.settled_at
FROM hush_deliveries d
JOIN hush_requests r ON r.id = d.request
JOIN hush_destinations x ON x.id = d.destination;
