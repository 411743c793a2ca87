/*
 * Migrations.  All that are missing are applied and recorded in one transaction: a killed one leaves the schema that was there, never one
 * between two versions, and a new database costs two flushes.  The record keeps the hash of the text before its tokens are replaced: it is
 * the same on every engine.
 */
#include "db/db_internal.h"

#include "base/log.h"
#include "base/sbuf.h"

#include <assert.h>

#define SCRIPT_LEN_MAX (256 * KIB)

/* Replace @name@ by what the engine calls it.  An '@' that begins no token stays. */
static err_code
expand(struct db *db, const char *sql, struct sbuf *out, struct err *err)
{
	while (*sql) {
		size_t plain = strcspn(sql, "@"), name;
		const char *word = NULL;

		sbuf_addn(out, sql, plain);
		sql += plain;
		if (!*sql)
			break;
		name = strcspn(sql + 1, "@ \n");
		if (sql[1 + name] == '@')
			word = db->ops->token(sql + 1, name);
		sbuf_add(out, word ? word : "@");
		sql += word ? name + 2 : 1;
	}
	return sbuf_done(out, err);
}

static const char record_table[] =
    "CREATE TABLE IF NOT EXISTS schema_migrations (name @text@ NOT NULL PRIMARY KEY, sha256 @bytes@ NOT NULL,"
    " applied_at @int@ NOT NULL) @rows@;";

err_code
db_schema_each(struct db *db, const struct db_migrations *set, err_code (*fn)(void *ctx, const char *sql, struct err *err), void *ctx,
    struct err *err)
{
	err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i <= set->n; i++) {
		AUTO(sbuf_fini) struct sbuf sql = SBUF(SCRIPT_LEN_MAX);

		rc = expand(db, i ? set->list[i - 1].sql : record_table, &sql, err);
		if (!rc)
			rc = fn(ctx, sbuf_str(&sql), err);
	}
	return rc;
}

static err_code
make_record_table(struct db *db, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sql = SBUF(SCRIPT_LEN_MAX);
	AUTO(db_abort) struct db_tx *tx = NULL;
	err_code rc;

	rc = expand(db, record_table, &sql, err);
	if (!rc)
		rc = db_begin(db, DB_WRITE, &tx, err);
	if (!rc)
		rc = db_script(tx, sbuf_str(&sql), err);
	return rc ? rc : db_commit(&tx, err);
}

static struct hash
migration_hash(const struct db_migration *m)
{
	return hash_of(m->sql, strlen(m->sql));
}

/* Compare a recorded migration with the one of that name in ${set}. */
static err_code
record_check(const struct db_migrations *set, const char *name, const uint8_t *sha, size_t sha_len, struct err *err)
{
	for (size_t i = 0; i < set->n; i++) {
		struct hash h;

		if (strcmp(set->list[i].name, name) != 0)
			continue;
		h = migration_hash(&set->list[i]);
		if (sha_len == sizeof h.b && memcmp(sha, h.b, sizeof h.b) == 0)
			return ERR_OK;
		return err_reason(err, ERR_DB, "changed_migration", "migration %s was applied with another text", name);
	}
	return err_reason(err, ERR_DB, "newer_schema", "the database has migration %s, which this version does not know: it is older",
	    name);
}

/* *n: how many are recorded. */
static err_code
records_check(struct db *db, const struct db_migrations *set, size_t *n, struct err *err)
{
	static const char sql[] = "SELECT name, sha256 FROM schema_migrations ORDER BY name";
	AUTO(db_abort) struct db_tx *tx = NULL;
	AUTO(db_resetp) struct db_stmt *st = NULL;
	bool row;
	err_code rc;

	*n = 0;
	rc = db_begin(db, DB_READ, &tx, err);
	if (!rc)
		rc = db_query_values(tx, &st, err, sql, NULL, 0);
	while (!rc) {
		size_t len;
		const uint8_t *sha;

		rc = db_step(st, &row, err);
		if (rc || !row)
			break;
		sha = db_bytes(st, 1, &len);
		rc = record_check(set, db_text(st, 0, NULL), sha, len, err);
		++*n;
	}
	return rc;
}

/* The record first: where it is there already, someone has applied this one. */
static err_code
apply(struct db *db, struct db_tx *tx, const struct db_migration *m, int64_t now_us, struct err *err)
{
	static const char record[] = "INSERT INTO schema_migrations (name, sha256, applied_at) VALUES ($1, $2, $3)"
				     " ON CONFLICT (name) DO NOTHING";
	AUTO(sbuf_fini) struct sbuf sql = SBUF(SCRIPT_LEN_MAX);
	struct hash h = migration_hash(m);
	int64_t added = 0;
	err_code rc;

	rc = expand(db, m->sql, &sql, err);
	if (!rc)
		rc = db_run(tx, &added, err, record, DB_TEXT(m->name), DB_HASH(&h), DB_I64(now_us));
	if (!rc && added)
		rc = db_script(tx, sbuf_str(&sql), err);
	return rc ? err_wrap(err, "migration %s", m->name) : ERR_OK;
}

static err_code
apply_missing(struct db *db, const struct db_migrations *set, int64_t now_us, struct err *err)
{
	AUTO(db_abort) struct db_tx *tx = NULL;
	err_code rc = db_begin(db, DB_WRITE, &tx, err);

	for (size_t i = 0; !rc && i < set->n; i++) {
		assert(i == 0 || strcmp(set->list[i - 1].name, set->list[i].name) < 0);
		rc = apply(db, tx, &set->list[i], now_us, err);
	}
	return rc ? rc : db_commit(&tx, err);
}

err_code
db_migrated(struct db *db, const struct db_migrations *set, struct err *err)
{
	size_t n;
	err_code rc;

	rc = records_check(db, set, &n, err);
	if (rc || n == set->n)
		return rc;
	return err_reason(err, ERR_DB, "older_schema",
	    "the database has %zu of %zu migrations: start this version of the server on it once", n, set->n);
}

err_code
db_migrate(struct db *db, const struct db_migrations *set, int64_t now_us, struct err *err)
{
	size_t applied;
	err_code rc;

	rc = make_record_table(db, err);
	if (!rc)
		rc = records_check(db, set, &applied, err);
	if (rc || applied == set->n)
		return rc;
	if (applied > 0)
		log_event(LOG_INFO, "the database of an older version is changed; with very many files that takes a minute, and a stop undoes it",
		    LOG_U64("migrations", set->n - applied));
	rc = apply_missing(db, set, now_us, err);
	if (!rc && applied > 0)
		log_event(LOG_INFO, "the database is changed", LOG_U64("migrations", set->n - applied));
	return rc;
}
