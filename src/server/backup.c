/*
 * drayd backup: a copy of a server that runs, or of one that does not.
 *
 *   DIR/backup.db     the metadata at one instant, a SQLite file whatever the server's engine is
 *   DIR/chunks/       every chunk that it names
 *   DIR/owner.token
 *
 * B1  What the backup names it has: backup.db appears, whole and in one step, when every chunk is durable beside it.  Until then the
 *     last backup stands.
 * B2  A chunk that is there already is not copied again; one that nothing names any more goes, after the new backup.db is there.
 * B3  Chunks can be collected while they are copied, when nothing needs them any more.  Then the metadata is read again, and only what has
 *     come since is left to do.
 */
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pathat.h"
#include "server/commands.h"
#include "server/copy_show.h"
#include "server/database.h"

#define NEW_FILE BACKUP_FILE ".new"
#define ROUNDS 3 /* B3: a chunk that is missing in the last one as well is missing */

struct backup {
	const struct command_line *line;
	struct data source, target;
	struct db *db;        /* the server's */
	struct chunk_copy copy;
	struct copy_show show;
	uint64_t removed;
};

/* ---- where from, where to --------------------------------------------------------------------------------------------------- */

static err_code
open_source(struct backup *b, struct err *err)
{
	const char *path = command_data(b->line);
	err_code rc;

	rc = data_open_old(path, &b->source, err);
	if (!rc)
		rc = database_open_reader(&b->source, database_url(b->line), &b->db, err);
	if (!rc)
		rc = store_fs_open_reader(path, &b->copy.from, err);
	return rc;
}

/* A directory with a server's own data would lose what nothing in the backup names. */
static err_code
open_target(struct backup *b, struct err *err)
{
	const char *path = b->line->args[0];
	err_code rc;

	rc = data_open(path, &b->target, err);
	if (rc)
		return rc;
	if (database_is_in(&b->target))
		return err_set(err, ERR_USAGE, "%s is a server's own data directory; a backup needs one of its own", path);
	rc = data_lock(&b->target, err);
	if (!rc)
		rc = store_fs_open(path, 0, &b->copy.to, err);
	return rc;
}

/* ---- one round ---------------------------------------------------------------------------------------------------------------- */

static err_code
open_file(const struct backup *b, const char *name, bool read_only, struct db **out, struct err *err)
{
	AUTO(freep) char *path = data_path(&b->target, name);

	return db_sqlite_open(&(struct db_sqlite_opts){ .path = path, .read_only = read_only }, out, err);
}

/* The metadata of this instant, in a file that has no name yet. */
static err_code
copy_metadata(struct backup *b, struct db **out, struct err *err)
{
	struct db *db;
	err_code rc;

	rc = database_file_remove(&b->target, NEW_FILE, err);
	if (!rc)
		rc = open_file(b, NEW_FILE, false, &db, err);
	if (rc)
		return rc;
	rc = db_migrate(db, &db_server_migrations, clock_wall_us(), err);
	if (!rc)
		rc = db_server_copy(b->db, db, copy_show_rows, &b->show, err);
	if (!rc)
		rc = db_checkpoint(db, true, err);
	if (rc)
		db_free(db);
	else
		*out = db;
	return rc;
}

/* ${db} is taken. */
static err_code
copy_chunks(struct backup *b, struct db *db, struct err *err)
{
	err_code rc;

	rc = meta_sql_open(db, &b->copy.meta, err);
	if (rc)
		return rc;
	rc = chunk_copy_count(&b->copy, err);
	if (!rc)
		rc = chunk_copy_run(&b->copy, err);
	meta_free(TAKE(b->copy.meta));
	return rc;
}

static bool
any_missing(const struct chunk_copy *c)
{
	for (size_t i = 0; i < c->bad_count; i++) {
		if (c->bad[i].ill == CHUNK_MISSING)
			return true;
	}
	return false;
}

static err_code
copy_all(struct backup *b, struct err *err)
{
	struct db *db;
	err_code rc = ERR_OK;

	for (unsigned round = 0; !rc && round < ROUNDS; round++) {
		rc = copy_metadata(b, &db, err);
		if (!rc)
			rc = copy_chunks(b, db, err);
		if (!rc && !any_missing(&b->copy))
			break;
	}
	return rc;
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------ */

static err_code
publish(struct backup *b, struct err *err)
{
	AUTO(closep) int fd = -1;
	err_code rc;

	rc = pathat_open(b->target.dir, NEW_FILE, O_RDONLY, 0, &fd, err);
	if (!rc && fsync(fd) < 0)
		rc = err_errno(err, "fsync " NEW_FILE);
	return rc ? rc : data_rename(&b->target, NEW_FILE, BACKUP_FILE, err);
}

/* B2 */
static err_code
prune(struct backup *b, struct err *err)
{
	struct db *db;
	err_code rc;

	rc = open_file(b, BACKUP_FILE, true, &db, err);
	if (!rc)
		rc = meta_sql_open(db, &b->copy.meta, err);
	if (rc)
		return rc;
	rc = chunk_copy_prune(&b->copy, &b->removed, err);
	meta_free(TAKE(b->copy.meta));
	return rc;
}

static err_code
back_up(struct backup *b, struct err *err)
{
	err_code rc;

	rc = open_source(b, err);
	if (!rc)
		rc = open_target(b, err);
	if (!rc)
		rc = copy_all(b, err);
	if (!rc)
		rc = data_token_copy(&b->source, &b->target, err);
	if (!rc)
		rc = publish(b, err);
	return rc ? rc : prune(b, err);
}

static int
run(const struct command_line *line)
{
	struct backup b = { .line = line, .source = { .dir = -1, .lock = -1 }, .target = { .dir = -1, .lock = -1 } };
	struct err err = { 0 };
	err_code rc;
	int status;

	copy_show_start(&b.show);
	b.copy.tick = copy_show_chunks;
	b.copy.ctx = &b.show;
	rc = back_up(&b, &err);
	copy_show_clear(&b.show);
	status = rc ? command_fail(line, &err) : copy_show_result(line, "Backed up", &b.copy, b.removed);
	chunk_copy_fini(&b.copy);
	store_free(b.copy.from);
	store_free(b.copy.to);
	db_free(b.db);
	data_close(&b.source);
	data_close(&b.target);
	return status;
}

const struct command COMMAND_BACKUP = {
	.name = "backup",
	.args = "DIR",
	.summary = "Copy all of a server, while it runs, into a directory",
	.options = "dbj",
	.args_min = 1,
	.args_max = 1,
	.run = run,
	.help = "DIR then holds the metadata of one instant and every chunk that it names, each verified. Into a DIR with an\n"
	        "earlier backup only what is new is copied, and what is named no more goes; until the new backup is whole\n"
	        "the earlier one stands. It holds the owner's token: keep it where nobody else can read it.\n\n"
	        "Damaged and missing chunks are named, and the exit status is then 1; all else is in the backup.\n\n"
	        "Example:\n  drayd backup /mnt/backup/dray && drayd restore /mnt/backup/dray --data ./tried\n",
};
