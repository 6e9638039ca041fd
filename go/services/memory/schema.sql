CREATE TABLE tenants (
  id INTEGER PRIMARY KEY,
  name TEXT NOT NULL UNIQUE,
  sequence INTEGER NOT NULL DEFAULT 0,  -- of the newest change
  forgotten INTEGER NOT NULL DEFAULT 0  -- of the newest change that is kept no more
) STRICT;

-- The present version of each memory. Moments are microseconds since 1970.
CREATE TABLE memories (
  id INTEGER PRIMARY KEY,
  tenant INTEGER NOT NULL REFERENCES tenants (id),
  memory_id TEXT NOT NULL,
  text TEXT NOT NULL,
  kind INTEGER NOT NULL,
  version INTEGER NOT NULL,
  indexed_version INTEGER NOT NULL DEFAULT 0,  -- what the vector index has
  create_time INTEGER NOT NULL,
  expire_time INTEGER,
  record TEXT NOT NULL,  -- JSON of everything but the text
  UNIQUE (tenant, memory_id)
) STRICT;
CREATE INDEX memories_newest ON memories (tenant, create_time, id);
CREATE INDEX memories_expiring ON memories (expire_time) WHERE expire_time IS NOT NULL;

CREATE TABLE memory_tags (
  tenant INTEGER NOT NULL,
  tag TEXT NOT NULL,
  memory INTEGER NOT NULL REFERENCES memories (id) ON DELETE CASCADE,
  PRIMARY KEY (tenant, tag, memory)
) STRICT, WITHOUT ROWID;
CREATE INDEX memory_tags_of ON memory_tags (memory);

-- Every version, the present one too.
CREATE TABLE versions (
  tenant INTEGER NOT NULL,
  memory_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  record TEXT NOT NULL,  -- JSON, with the text
  PRIMARY KEY (tenant, memory_id, version)
) STRICT, WITHOUT ROWID;

-- First answers by request_id. They name memories and versions and hold no text, so that what is deleted is gone.
CREATE TABLE requests (
  tenant INTEGER NOT NULL,
  rpc TEXT NOT NULL,
  request_id TEXT NOT NULL,
  digest BLOB NOT NULL,
  answer TEXT NOT NULL,
  time INTEGER NOT NULL,
  PRIMARY KEY (tenant, rpc, request_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX requests_oldest ON requests (time);

-- What happened: the outbox of the event log, and what watchers read. `record` is there until the event is published.
CREATE TABLE changes (
  id INTEGER PRIMARY KEY AUTOINCREMENT,
  tenant INTEGER NOT NULL,
  sequence INTEGER NOT NULL,
  time INTEGER NOT NULL,
  kind INTEGER NOT NULL,
  memory_id TEXT NOT NULL,
  version INTEGER NOT NULL,
  tags TEXT NOT NULL,
  record TEXT,
  traceparent TEXT NOT NULL,
  published INTEGER NOT NULL
) STRICT;
CREATE INDEX changes_of ON changes (tenant, sequence);
CREATE INDEX changes_unpublished ON changes (id) WHERE published = 0;
CREATE INDEX changes_oldest ON changes (time);

-- What the vector index has to be told: that it shall have the present version of a memory, or none of it where there is none;
-- the empty memory_id that it shall forget the tenant first.
CREATE TABLE index_queue (
  tenant INTEGER NOT NULL,
  memory_id TEXT NOT NULL,
  revision INTEGER NOT NULL,
  attempts INTEGER NOT NULL,
  due INTEGER NOT NULL,
  PRIMARY KEY (tenant, memory_id)
) STRICT, WITHOUT ROWID;
CREATE INDEX index_queue_due ON index_queue (due);

CREATE TABLE settings (name TEXT PRIMARY KEY, value TEXT NOT NULL) STRICT, WITHOUT ROWID;
