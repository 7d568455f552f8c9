-- needs: 1
-- The tables of a store. Every name is qualified: {s} is the store's schema.
--
-- Times are bigint, nanoseconds since 1970 UTC, 0 for none. Ids and positions are compared as bytes (COLLATE
-- "C"): a new version of the system's locales must not reorder an index.

-- ledger has one row: the owner of the data, and the store's state in a move (rule 12). needs is the oldest
-- program that may still use the store, identified by its newest migration.
CREATE TABLE {s}.ledger (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	needs integer NOT NULL,
	store_id text COLLATE "C" NOT NULL,
	state smallint NOT NULL DEFAULT 0,
	move text COLLATE "C" NOT NULL DEFAULT '',
	peer text COLLATE "C" NOT NULL DEFAULT '',
	origin text COLLATE "C" NOT NULL DEFAULT '',
	acknowledged bigint NOT NULL DEFAULT 0 -- number of changes applied by the other store
) WITH (fillfactor = 50);

-- hosts has a row for each program that has the store open. beat is a time of the database's clock.
CREATE TABLE {s}.hosts (
	instance text COLLATE "C" PRIMARY KEY,
	name text NOT NULL,
	version text NOT NULL,
	knows integer NOT NULL,
	joined bigint NOT NULL,
	beat bigint NOT NULL
) WITH (fillfactor = 50);

-- The tables of the stores.
--
-- data      the protobuf message of the row (plugin/proto/sessions/records/v1/records.proto) without the fields
--           stored in columns: fields added by a newer program survive an older program
-- NULL      means "none" wherever an index excludes it: = is strict, so that a generic plan can prove IS NOT NULL
--           and use the partial index; it cannot prove <> ''
-- locks     READ COMMITTED, in one order: slots, limits, sessions, client_uses, ended, grants, used, notices
-- no        foreign keys (they take additional row locks), advisory locks, rules in SQL
--
-- Columns that change often (times of sessions, last use, claims) are in no index and no index predicate, so
-- that their updates are heap-only; the fill factor of updated tables leaves space in their pages.

-- A committer updates its slot in every transaction: it is the fence of a move (state), has the counts and
-- sums of the records, and proves a commit whose answer was lost (last). Each committer has its own slot, so
-- no row is hot. A transaction that sets the state of all slots has waited for every writer that saw the old
-- state.
CREATE TABLE {s}.slots (
	slot     int PRIMARY KEY,
	instance text COLLATE "C" NOT NULL DEFAULT '',
	claimed  bigint NOT NULL DEFAULT 0,
	state    smallint NOT NULL DEFAULT 0,
	position bigint NOT NULL DEFAULT 0,
	last     uuid,
	-- By kind of record: element n + 1 is for kind n. The totals over all slots are the store's.
	counts   bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0}',
	sums     bigint[] NOT NULL DEFAULT '{0,0,0,0,0,0,0,0,0,0}'
) WITH (fillfactor = 10);
INSERT INTO {s}.slots (slot) SELECT generate_series(0, 63);

-- The number of sessions of a client, by slot.
CREATE TABLE {s}.client_counts (
	client   text COLLATE "C" NOT NULL,
	slot     int NOT NULL,
	sessions bigint NOT NULL,
	PRIMARY KEY (client, slot)
) WITH (fillfactor = 50);

-- A sign-in under a limit of sessions locks its subject's row first, which serializes the sign-ins of a
-- subject on all hosts.
CREATE TABLE {s}.limits (
	subject text COLLATE "C" PRIMARY KEY,
	at      bigint NOT NULL
) WITH (fillfactor = 50);

CREATE TABLE {s}.sessions (
	sid     text COLLATE "C" PRIMARY KEY,
	cookie  bytea NOT NULL,
	subject text COLLATE "C" NOT NULL,
	created bigint NOT NULL,
	due     bigint NOT NULL, -- may be early, never late: renewals do not update it, a sweep does
	expires bigint NOT NULL,
	renewed bigint NOT NULL,
	version bigint NOT NULL,
	data    bytea NOT NULL,
	ticket  bytea NOT NULL
) WITH (fillfactor = 85);
CREATE UNIQUE INDEX sessions_cookie ON {s}.sessions (cookie);
CREATE INDEX sessions_created ON {s}.sessions (created, sid);
CREATE INDEX sessions_subject ON {s}.sessions (subject, created, sid);
CREATE INDEX sessions_due ON {s}.sessions (due);

CREATE TABLE {s}.client_uses (
	sid    text COLLATE "C" NOT NULL,
	client text COLLATE "C" NOT NULL,
	listed bigint, -- when the session was created, for pages by client; NULL for a client that was detached
	data   bytea NOT NULL,
	PRIMARY KEY (sid, client)
) WITH (fillfactor = 85);
CREATE INDEX client_uses_client ON {s}.client_uses (client, listed, sid) WHERE listed IS NOT NULL;

CREATE TABLE {s}.ended (
	sid      text COLLATE "C" PRIMARY KEY,
	survivor text COLLATE "C", -- the subject, if grants may have outlived the session
	due      bigint NOT NULL,
	data     bytea NOT NULL
) WITH (fillfactor = 90);
CREATE INDEX ended_survivor ON {s}.ended (survivor, sid) WHERE survivor IS NOT NULL;
CREATE INDEX ended_due ON {s}.ended (due);

-- Unused grants: inserted and deleted, never changed.
CREATE TABLE {s}.grants (
	key     bytea NOT NULL,
	type    smallint NOT NULL,
	family  text COLLATE "C", -- the request id of a token
	subject text COLLATE "C",
	sid     text COLLATE "C",
	client  text COLLATE "C",
	created bigint NOT NULL,
	serial  bytea,  -- orders grants of the same time in listings; NULL if not listed
	due     bigint, -- NULL for never
	data    bytea NOT NULL,
	PRIMARY KEY (key, type)
);
CREATE INDEX grants_family ON {s}.grants (family) WHERE family IS NOT NULL;
CREATE INDEX grants_sid ON {s}.grants (sid, created, serial) WHERE sid IS NOT NULL;
CREATE INDEX grants_subject ON {s}.grants (subject, created, serial) WHERE subject IS NOT NULL;
CREATE INDEX grants_client ON {s}.grants (client, created, serial) WHERE client IS NOT NULL;
CREATE INDEX grants_created ON {s}.grants (created, serial) WHERE serial IS NOT NULL;
CREATE INDEX grants_due ON {s}.grants (due) WHERE due IS NOT NULL;

-- Used codes and refresh tokens. Rows of rings 0 to 3 are partitioned by expiry, and are purged by truncating
-- an expired partition. Rows of ring 4 are examined one by one: they have a grace, or expire beyond the range
-- of the ring.
CREATE TABLE {s}.used (
	due    bigint NOT NULL, -- columns of fixed length first, which avoids padding
	sum    bigint NOT NULL, -- checksum of the record; those of a purged partition are subtracted together
	key    bytea NOT NULL,
	type   smallint NOT NULL,
	ring   smallint NOT NULL,
	sid    text COLLATE "C",
	client text COLLATE "C",
	data   bytea NOT NULL,
	PRIMARY KEY (key, type, ring)
) PARTITION BY LIST (ring);
CREATE TABLE {s}.used_0 PARTITION OF {s}.used FOR VALUES IN (0);
CREATE TABLE {s}.used_1 PARTITION OF {s}.used FOR VALUES IN (1);
CREATE TABLE {s}.used_2 PARTITION OF {s}.used FOR VALUES IN (2);
CREATE TABLE {s}.used_3 PARTITION OF {s}.used FOR VALUES IN (3);
CREATE TABLE {s}.used_4 PARTITION OF {s}.used FOR VALUES IN (4);
CREATE INDEX used_4_due ON {s}.used_4 (due);

-- Answers to operations, partitioned by intervals of ten minutes. Near the end of an interval a second row is
-- stored in the next partition (echo), so that two attempts at one operation always conflict in one of them.
CREATE TABLE {s}.operations (
	id   text COLLATE "C" NOT NULL,
	ring smallint NOT NULL,
	at   bigint NOT NULL,
	echo boolean NOT NULL,
	sum  bigint NOT NULL,
	data bytea NOT NULL,
	PRIMARY KEY (id, ring)
) PARTITION BY LIST (ring);
CREATE TABLE {s}.operations_0 PARTITION OF {s}.operations FOR VALUES IN (0);
CREATE TABLE {s}.operations_1 PARTITION OF {s}.operations FOR VALUES IN (1);
CREATE TABLE {s}.operations_2 PARTITION OF {s}.operations FOR VALUES IN (2);
CREATE TABLE {s}.operations_3 PARTITION OF {s}.operations FOR VALUES IN (3);

CREATE TABLE {s}.jobs (
	id      text COLLATE "C" PRIMARY KEY,
	running boolean, -- NULL once the job is done
	due     bigint,  -- when a finished job may be purged
	lease   bigint NOT NULL DEFAULT 0, -- until when a host works on it, by the database's clock
	data    bytea NOT NULL
) WITH (fillfactor = 50);
CREATE INDEX jobs_running ON {s}.jobs (id) WHERE running IS NOT NULL;
CREATE INDEX jobs_due ON {s}.jobs (due) WHERE due IS NOT NULL;

-- Sessions with rows of dead grants, and the operation that left them.
CREATE TABLE {s}.purges (
	sid       text COLLATE "C" PRIMARY KEY,
	operation text COLLATE "C" NOT NULL
);
CREATE INDEX purges_operation ON {s}.purges (operation, sid);

CREATE TABLE {s}.notices (
	id     text COLLATE "C" PRIMARY KEY,
	client text COLLATE "C" NOT NULL,
	sid    text COLLATE "C" NOT NULL,
	state  text COLLATE "C" NOT NULL,
	due    bigint, -- of a pending notification: the next attempt, or the end of its lease
	over   bigint, -- when a settled notification may be purged
	data   bytea NOT NULL
) WITH (fillfactor = 70);
CREATE INDEX notices_due ON {s}.notices (client, due, id) WHERE due IS NOT NULL;
CREATE INDEX notices_sid ON {s}.notices (sid, id);
CREATE INDEX notices_client ON {s}.notices (client, id);
CREATE INDEX notices_state ON {s}.notices (state, id);
CREATE INDEX notices_over ON {s}.notices (over) WHERE over IS NOT NULL;

CREATE TABLE {s}.properties (
	name  text COLLATE "C" PRIMARY KEY,
	value bytea NOT NULL
);

-- The set of rows changed while the store is exported: an entry is sent in a numbered answer, and deleted
-- when that answer is acknowledged. Entries are not ordered, since they become visible at commit, not when
-- they are numbered.
CREATE TABLE {s}.journal (
	id    bigint GENERATED ALWAYS AS IDENTITY PRIMARY KEY,
	kind  smallint NOT NULL,
	key   bytea NOT NULL,
	batch bigint NOT NULL DEFAULT 0
);
