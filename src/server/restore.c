/*
 * drayd restore: a server's data directory out of a backup.
 *
 * R1  Chunks first, each verified; then the metadata, in one step.  A restore that was cut short is begun again and copies what is missing.
 * R2  Every project gets a new epoch.  What happened after the backup is on devices and not here: a cursor of the old epoch is answered
 *     410, "merge": "keep-local", and then devices unite what they have with what is here, instead of deleting it.
 */
#include <errno.h>
#include <fcntl.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/fault.h"
#include "base/pathat.h"
#include "server/commands.h"
#include "server/copy_show.h"
#include "server/database.h"

#define WORK_FILE "restore.db"
#define PAGE 1000

struct restore {
	const struct command_line *line;
	struct data backup, target;
	struct chunk_copy copy;
	struct copy_show show;
};

/* ---- where from, where to --------------------------------------------------------------------------------------------------- */

static err_code
open_backup(struct restore *r, struct err *err)
{
	const char *path = r->line->args[0];
	err_code rc;

	rc = data_open_old(path, &r->backup, err);
	if (rc)
		return rc;
	if (faccessat(r->backup.dir, BACKUP_FILE, F_OK, 0) != 0)
		return err_set(err, ERR_NOT_FOUND, "%s is no backup: it has no " BACKUP_FILE, path);
	return store_fs_open_reader(path, &r->copy.from, err);
}

static err_code
open_target(struct restore *r, struct err *err)
{
	const char *path = command_data(r->line);
	err_code rc;

	rc = data_open(path, &r->target, err);
	if (!rc)
		rc = data_lock(&r->target, err);
	if (rc)
		return rc;
	if (database_is_in(&r->target) || faccessat(r->target.dir, BACKUP_FILE, F_OK, 0) == 0)
		return err_set(err, ERR_USAGE, "%s has data already; restore into a new directory", path);
	return store_fs_open(path, 0, &r->copy.to, err);
}

/* ---- the metadata ------------------------------------------------------------------------------------------------------------- */

/* The backup may be on a medium that nobody can write to, and of an older version: what is opened is a copy. */
static err_code
copy_file(struct restore *r, struct err *err)
{
	AUTO(closep) int from = -1;
	AUTO(closep) int to = -1;
	ssize_t n;
	err_code rc;

	rc = database_file_remove(&r->target, WORK_FILE, err);
	if (!rc)
		rc = pathat_open(r->backup.dir, BACKUP_FILE, O_RDONLY, 0, &from, err);
	if (!rc)
		rc = pathat_open(r->target.dir, WORK_FILE, O_WRONLY | O_CREAT | O_EXCL, 0600, &to, err);
	if (rc)
		return rc;
	do
		n = copy_file_range(from, NULL, to, NULL, 64 * MIB, 0);
	while (n > 0 || (n < 0 && errno == EINTR));
	return n < 0 || fsync(to) < 0 ? err_errno(err, "copy " BACKUP_FILE) : ERR_OK;
}

static err_code
open_copy(struct restore *r, struct db **out, struct err *err)
{
	AUTO(freep) char *path = data_path(&r->target, WORK_FILE);
	struct db *db;
	err_code rc;

	rc = copy_file(r, err);
	if (!rc)
		rc = db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, &db, err);
	if (rc)
		return rc;
	rc = db_migrate(db, &db_server_migrations, clock_wall_us(), err);
	if (rc)
		db_free(db);
	else
		*out = db;
	return rc;
}

/* R2 */
static err_code
renew_epochs(struct meta *meta, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct project *page;
	struct id after;
	size_t n = PAGE;
	err_code rc;

	rc = meta_begin(meta, META_WRITE, &tx, err);
	for (bool first = true; !rc && n == PAGE; first = false) {
		rc = meta_project_list(tx, NULL, first ? NULL : &after, PAGE, &page, &n, err);
		for (size_t i = 0; !rc && i < n; i++) {
			struct id epoch = id_new();

			after = page[i].id;
			if (FAULT("restore.keeps_epoch"))
				epoch = page[i].epoch;
			rc = meta_project_epoch(tx, &after, &epoch, err);
		}
	}
	return rc ? rc : meta_commit(&tx, err);
}

/* ---- the end ------------------------------------------------------------------------------------------------------------------ */

/* Rows, then the pair's common id in the database, then in the directory: without the last nobody serves it. */
static err_code
publish_rows(struct restore *r, struct db *from, struct db *to, struct err *err)
{
	struct id id;
	bool fresh;
	err_code rc;

	rc = db_migrate(to, &db_server_migrations, clock_wall_us(), err);
	if (!rc)
		rc = db_identity(to, clock_wall_us(), &id, &fresh, err);
	if (!rc && !fresh)
		rc = err_set(err, ERR_USAGE, "that database has been used; restore into a new one");
	if (!rc)
		rc = db_server_copy(from, to, copy_show_rows, &r->show, err);
	return rc ? rc : data_installation_write(&r->target, &id, err);
}

static err_code
publish_postgres(struct restore *r, struct db *from, struct err *err)
{
	struct db *to;
	err_code rc;

	rc = db_postgres_open(&(struct db_postgres_opts){ .url = database_url(r->line) }, &to, err);
	if (rc)
		return rc;
	rc = publish_rows(r, from, to, err);
	db_free(to);
	return rc ? rc : database_file_remove(&r->target, WORK_FILE, err);
}

/* ${db} is taken. */
static err_code
restore_from(struct restore *r, struct db *db, struct err *err)
{
	err_code rc;

	rc = meta_sql_open(db, &r->copy.meta, err);
	if (rc)
		return rc;
	rc = renew_epochs(r->copy.meta, err);
	if (!rc)
		rc = chunk_copy_count(&r->copy, err);
	if (!rc)
		rc = chunk_copy_run(&r->copy, err);
	if (!rc)
		rc = data_token_copy(&r->backup, &r->target, err);
	if (!rc)
		rc = database_url(r->line) ? publish_postgres(r, db, err) : db_checkpoint(db, true, err);
	meta_free(TAKE(r->copy.meta));
	return rc || database_url(r->line) ? rc : data_rename(&r->target, WORK_FILE, DATABASE_FILE, err);
}

static err_code
restore(struct restore *r, struct err *err)
{
	struct db *db;
	err_code rc;

	rc = open_backup(r, err);
	if (!rc)
		rc = open_target(r, err);
	if (!rc)
		rc = open_copy(r, &db, err);
	return rc ? rc : restore_from(r, db, err);
}

static int
run(const struct command_line *line)
{
	struct restore r = { .line = line, .backup = { .dir = -1, .lock = -1 }, .target = { .dir = -1, .lock = -1 } };
	struct err err = { 0 };
	err_code rc;
	int status;

	database_warn(line);
	copy_show_start(&r.show);
	r.copy.tick = copy_show_chunks;
	r.copy.ctx = &r.show;
	rc = restore(&r, &err);
	copy_show_clear(&r.show);
	status = rc ? command_fail(line, &err) : copy_show_result(line, "Restored", &r.copy, 0);
	chunk_copy_fini(&r.copy);
	store_free(r.copy.from);
	store_free(r.copy.to);
	data_close(&r.backup);
	data_close(&r.target);
	return status;
}

const struct command COMMAND_RESTORE = {
	.name = "restore",
	.args = "BACKUP",
	.summary = "Make a server's data directory out of a backup",
	.options = "dbj",
	.args_min = 1,
	.args_max = 1,
	.run = run,
	.help = "--data names the directory, which is new. With --db the metadata goes into that PostgreSQL, which is new as\n"
	        "well, whatever the backup came from.\n\n"
	        "Devices that were in sync with the lost server know more than the backup does. They are told that the\n"
	        "history begins anew, and unite what they have with what is here: nothing is deleted or overwritten on\n"
	        "either side, and where two contents differ both are kept.\n\n"
	        "Example:\n  drayd restore /mnt/backup/dray --data ./data && drayd serve --data ./data\n",
};
