/*
 * Opening, transactions, and the two tables of one row.
 */
#include <assert.h>

#include "base/clock.h"
#include "base/sbuf.h"
#include "client/state/state_internal.h"

#define STATE_PATH_MAX 8192
#define WRITER_CACHE_KIB (20 * 1024) /* the index of contents is in no order: of a million files it is 100 MiB, and what is not at hand is read */
#define READERS_MAX 8 /* a walk, a look-up beside it, two packers, the rest in reserve */

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

enum how { OPEN_WRITE, OPEN_READ, OPEN_UNTOUCHED };

static err_code
open_db(struct state *s, const char *dotdray, enum how how, struct err *err)
{
	bool read_only = how != OPEN_WRITE;
	AUTO(sbuf_fini) struct sbuf path = SBUF(STATE_PATH_MAX);
	struct db_sqlite_opts opts = { .readers_max = READERS_MAX, .writer_cache_kib = WRITER_CACHE_KIB, .temp_in_memory = true,
		.read_only = read_only, .untouched = how == OPEN_UNTOUCHED };
	err_code rc;

	sbuf_addf(&path, "%s/state.db", dotdray);
	rc = sbuf_done(&path, err);
	if (rc)
		return rc;
	opts.path = sbuf_str(&path);
	rc = db_sqlite_open(&opts, &s->db, err);
	if (rc || read_only)
		return rc;
	return db_migrate(s->db, &client_state_migrations, clock_wall_us(), err);
}

/* The one row of place is there from the start, so that everything else only updates it. */
static err_code
make_place(struct state *s, struct err *err)
{
	static const char sql[] =
	    "INSERT INTO place (one, clock, epoch, known, reported, server_digest, synced_at, entries, files, bytes, pending,"
	    " base_digest) VALUES (1, 0, $1, 0, 0, $2, 0, 0, 0, 0, 0, $2) ON CONFLICT (one) DO NOTHING";
	AUTO(db_abort) struct db_tx *tx = NULL;
	struct id epoch = { 0 };
	struct hash zero = { 0 };
	err_code rc = db_begin(s->db, DB_WRITE, &tx, err);

	if (rc)
		return rc;
	rc = db_run(tx, NULL, err, sql, DB_ID(&epoch), DB_HASH(&zero));
	return rc ? rc : db_commit(&tx, err);
}

/* A state without files knows all that it has: nothing. */
static err_code
start_seen(struct state *s, struct err *err)
{
	struct state_totals totals;
	err_code rc = state_totals(s, &totals, err);

	if (rc == ERR_OK && totals.files == 0)
		seen_init(&s->seen);
	return rc;
}

static err_code
open_as(const char *dotdray, enum how how, struct state **out, struct err *err)
{
	struct state *s = xcalloc(1, sizeof *s);
	err_code rc;

	mutex_init(&s->lock, RANK_LEAF);
	rc = open_db(s, dotdray, how, err);
	if (rc == ERR_OK && how == OPEN_WRITE)
		rc = make_place(s, err);
	if (rc == ERR_OK && how == OPEN_WRITE)
		rc = start_seen(s, err);
	if (rc) {
		state_free(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

err_code
state_open(const char *dotdray, struct state **out, struct err *err)
{
	return open_as(dotdray, OPEN_WRITE, out, err);
}

err_code
state_open_read(const char *dotdray, struct state **out, struct err *err)
{
	return open_as(dotdray, OPEN_READ, out, err);
}

err_code
state_open_untouched(const char *dotdray, bool alone, struct state **out, struct err *err)
{
	err_code rc = open_as(dotdray, alone ? OPEN_UNTOUCHED : OPEN_READ, out, err);

	if (rc)
		return rc;
	rc = db_migrated((*out)->db, &client_state_migrations, err);
	if (rc)
		state_free(TAKE(*out));
	return rc;
}

void
state_free(struct state *s)
{
	if (!s)
		return;
	assert(!s->tx);
	db_free(s->db);
	seen_fini(&s->seen);
	mutex_fini(&s->lock);
	free(s);
}

err_code
state_link_peek(const char *dotdray, struct arena *a, struct state_link *out, struct err *err)
{
	struct state *s;
	err_code rc = state_open_read(dotdray, &s, err);

	if (rc)
		return rc;
	rc = state_link_get(s, a, out, err);
	state_free(s);
	return rc;
}

/* ---- transactions ------------------------------------------------------------------------------------------------------------- */

/* This thread's transaction, or NULL. */
static struct db_tx *
mine(struct state *s)
{
	struct db_tx *tx;

	mutex_lock(&s->lock);
	tx = s->tx && pthread_equal(s->owner, pthread_self()) ? s->tx : NULL;
	mutex_unlock(&s->lock);
	return tx;
}

struct db_tx *
state_writer(struct state *s)
{
	struct db_tx *tx = mine(s);

	assert(tx); /* writes happen inside state_begin … state_commit */
	return tx;
}

err_code
view_begin(struct state *s, struct view *v, struct err *err)
{
	*v = (struct view){ .tx = mine(s) };
	if (v->tx)
		return ERR_OK; /* S2 */
	if (db_begin(s->db, DB_READ, &v->own, err))
		return err->code;
	v->tx = v->own;
	return ERR_OK;
}

void
view_end(struct view *v)
{
	db_abort(&v->own);
}

static err_code
totals_load(struct db_tx *tx, struct state_totals *out, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query_values(tx, &st, err, "SELECT entries, files, bytes, pending, base_digest, left_out, left_out_digest"
	    " FROM place", NULL, 0);

	if (!rc)
		rc = db_step(st, &row, err);
	if (rc)
		return rc;
	if (!row || !column_fixed(st, 4, out->digest.b, sizeof out->digest.b) ||
	    !column_fixed(st, 6, out->left_out_digest.b, sizeof out->left_out_digest.b))
		return column_damaged(err, "place");
	out->entries = (uint64_t)db_i64(st, 0);
	out->files = (uint64_t)db_i64(st, 1);
	out->bytes = (uint64_t)db_i64(st, 2);
	out->pending = (uint64_t)db_i64(st, 3);
	out->left_out = (uint64_t)db_i64(st, 5);
	return ERR_OK;
}

static err_code
totals_store(struct state *s, struct db_tx *tx, struct err *err)
{
	const struct state_totals *t = &s->totals;

	if (!s->totals_changed)
		return ERR_OK;
	return db_run(tx, NULL, err, "UPDATE place SET entries = $1, files = $2, bytes = $3, pending = $4, base_digest = $5, left_out = $6,"
	    " left_out_digest = $7", DB_I64(t->entries), DB_I64(t->files), DB_I64(t->bytes), DB_I64(t->pending), DB_HASH(&t->digest),
	    DB_I64(t->left_out), DB_HASH(&t->left_out_digest));
}

err_code
state_begin(struct state *s, struct err *err)
{
	AUTO(db_abort) struct db_tx *tx = NULL;
	struct state_totals totals;
	err_code rc;

	assert(!mine(s)); /* one at a time for each thread */
	rc = db_begin(s->db, DB_WRITE, &tx, err);
	if (rc)
		return rc;
	rc = totals_load(tx, &totals, err);
	if (rc)
		return rc;
	mutex_lock(&s->lock);
	assert(!s->tx); /* the database lets in one writer, and each leaves before it lets the next in */
	s->tx = TAKE(tx);
	s->owner = pthread_self();
	s->totals = totals;
	s->totals_changed = false;
	mutex_unlock(&s->lock);
	return ERR_OK;
}

/* Leave before the database does: from its commit on the next writer may be in. */
static struct db_tx *
leave(struct state *s)
{
	struct db_tx *tx;

	mutex_lock(&s->lock);
	tx = TAKE(s->tx);
	mutex_unlock(&s->lock);
	return tx;
}

err_code
state_commit(struct state *s, struct err *err)
{
	AUTO(db_abort) struct db_tx *tx = NULL;
	err_code rc = totals_store(s, state_writer(s), err); /* S1 */

	tx = leave(s);
	return rc ? rc : db_commit(&tx, err);
}

void
state_abort(struct state *s)
{
	AUTO(db_abort) struct db_tx *tx = NULL;

	if (mine(s))
		tx = leave(s);
}

err_code
state_end(struct state *s, err_code rc, struct err *err)
{
	if (rc == ERR_OK)
		rc = state_commit(s, err);
	if (rc)
		state_abort(s);
	return rc;
}

err_code
totals_of(struct state *s, struct view *v, struct state_totals *out, struct err *err)
{
	if (v->own)
		return totals_load(v->tx, out, err);
	*out = s->totals; /* this thread is the writer: the row is written when it commits */
	return ERR_OK;
}

struct hash
state_tree_digest(const struct state_totals *t)
{
	struct hash sum = t->digest;

	digest_add(&sum, &t->left_out_digest);
	return sum;
}

err_code
state_totals(struct state *s, struct state_totals *out, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = totals_of(s, &v, out, err);
	view_end(&v);
	return rc;
}

/* ---- columns ------------------------------------------------------------------------------------------------------------------ */

bool
column_fixed(struct db_stmt *st, int col, void *out, size_t len)
{
	size_t got;
	const uint8_t *p = db_bytes(st, col, &got);

	if (got != len)
		return false;
	memcpy(out, p, len);
	return true;
}

err_code
column_damaged(struct err *err, const char *what)
{
	return err_set(err, ERR_STATE_DAMAGED, "what this folder remembers is damaged (%s)", what);
}

/* ---- damage ------------------------------------------------------------------------------------------------------------------- */

static void
note_damage(void *damaged, const char *finding)
{
	(void)finding;
	*(bool *)damaged = true;
}

err_code
state_holds(struct state *s, struct err *err)
{
	bool damaged = false;
	err_code rc = db_check(s->db, &client_state_migrations, note_damage, &damaged, err);

	if (rc == ERR_OK && !damaged)
		rc = state_base_verify(s, err);
	if (damaged || rc == ERR_CORRUPT || rc == ERR_DB || rc == ERR_EXISTS)
		return err_set(err, ERR_STATE_DAMAGED, "what this folder remembers is damaged");
	return rc;
}

/* ---- the link ----------------------------------------------------------------------------------------------------------------- */

err_code
state_link_put(struct state *s, const struct state_link *l, struct err *err)
{
	static const char sql[] =
	    "INSERT INTO link (one, url, project, device, project_name, device_name) VALUES (1, $1, $2, $3, $4, $5)"
	    " ON CONFLICT (one) DO UPDATE SET url = excluded.url, project = excluded.project, device = excluded.device,"
	    " project_name = excluded.project_name, device_name = excluded.device_name";
	AUTO(db_abort) struct db_tx *tx = NULL;
	err_code rc = db_begin(s->db, DB_WRITE, &tx, err);

	if (rc)
		return rc;
	rc = db_run(tx, NULL, err, sql, DB_TEXT(l->url), DB_ID(&l->project), DB_ID(&l->device), DB_TEXT(l->project_name),
	    DB_TEXT(l->device_name));
	return rc ? rc : db_commit(&tx, err);
}

static err_code
link_read(struct view *v, struct arena *a, struct state_link *out, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query_values(v->tx, &st, err, "SELECT url, project, device, project_name, device_name FROM link", NULL, 0);

	if (!rc)
		rc = db_step(st, &row, err);
	if (rc)
		return rc;
	if (!row)
		return err_set(err, ERR_NOT_LINKED, "this folder is not linked");
	if (!column_fixed(st, 1, out->project.b, sizeof out->project.b) ||
	    !column_fixed(st, 2, out->device.b, sizeof out->device.b))
		return column_damaged(err, "link");
	out->url = arena_strdup(a, db_text(st, 0, NULL));
	out->project_name = arena_strdup(a, db_text(st, 3, NULL));
	out->device_name = arena_strdup(a, db_text(st, 4, NULL));
	if (!out->url || !out->project_name || !out->device_name)
		return err_set(err, ERR_NO_MEM, "no room for the link");
	return ERR_OK;
}

err_code
state_link_get(struct state *s, struct arena *a, struct state_link *out, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = link_read(&v, a, out, err);
	view_end(&v);
	return rc;
}

/* ---- the place ---------------------------------------------------------------------------------------------------------------- */

static err_code
place_read(struct view *v, struct state_place *out, struct err *err)
{
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row = false;
	err_code rc = db_query_values(v->tx, &st, err, "SELECT clock, epoch, known, reported, server_digest, synced_at FROM place",
	    NULL, 0);

	if (!rc)
		rc = db_step(st, &row, err);
	if (rc)
		return rc;
	if (!row || !column_fixed(st, 1, out->epoch.b, sizeof out->epoch.b) ||
	    !column_fixed(st, 4, out->digest.b, sizeof out->digest.b))
		return column_damaged(err, "place");
	out->clock = db_i64(st, 0);
	out->known = db_i64(st, 2) != 0;
	out->reported = db_i64(st, 3);
	out->synced_at = db_i64(st, 5);
	return ERR_OK;
}

err_code
state_place_get(struct state *s, struct state_place *out, struct err *err)
{
	struct view v;
	err_code rc = view_begin(s, &v, err);

	if (rc)
		return rc;
	rc = place_read(&v, out, err);
	view_end(&v);
	return rc;
}

err_code
state_place_put(struct state *s, const struct state_place *p, struct err *err)
{
	return db_run(state_writer(s), NULL, err,
	    "UPDATE place SET clock = $1, epoch = $2, known = $3, reported = $4, server_digest = $5, synced_at = $6",
	    DB_I64(p->clock), DB_ID(&p->epoch), DB_I64(p->known), DB_I64(p->reported), DB_HASH(&p->digest), DB_I64(p->synced_at));
}
