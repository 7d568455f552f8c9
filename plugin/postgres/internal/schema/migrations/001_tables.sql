-- needs: 1
-- The tables of a store. Every name is qualified: {s} is the store's schema.
--
-- Moments are bigint, nanoseconds since 1970 UTC, 0 for none. Ids are compared as bytes (COLLATE "C"), as
-- positions are: another version of the system's locales must not reorder an index.

-- ledger has one row: whose data it is, and which state it has in a move (rule 12). needs is the oldest
-- program that may still use the store, by the newest migration that it knows.
CREATE TABLE {s}.ledger (
	one boolean PRIMARY KEY DEFAULT true CHECK (one),
	needs integer NOT NULL,
	store_id text COLLATE "C" NOT NULL,
	state smallint NOT NULL DEFAULT 0,
	move text COLLATE "C" NOT NULL DEFAULT '',
	peer text COLLATE "C" NOT NULL DEFAULT '',
	origin text COLLATE "C" NOT NULL DEFAULT ''
) WITH (fillfactor = 50);

-- hosts has a row for each program that has the store open. beat is by the database's clock.
CREATE TABLE {s}.hosts (
	instance text COLLATE "C" PRIMARY KEY,
	name text NOT NULL,
	version text NOT NULL,
	knows integer NOT NULL,
	joined bigint NOT NULL,
	beat bigint NOT NULL
) WITH (fillfactor = 50);
