/*
 * drayd fsck: is everything that the server keeps there, and does it agree with itself?  Metadata against metadata, metadata against chunks,
 * and every byte of every chunk against its name.
 *
 *   F1  Nothing is changed (P33).  Without a server not a byte of the data directory is written, nor a file made: the directory is locked and
 *       the database read as it lies there.  Beside a server the database is read as any reader does.
 *   F2  Chunks are read with no transaction open: one of hours would keep the log of a server that writes from being emptied.  One that
 *       is collected meanwhile is missing without anything being wrong, so whether it is still named is asked at the end.
 *   F3  Each project is looked at in one instant, so what is added up there must come out exactly.
 */
#include "server/commands.h"
#include "server/database.h"
#include "server/fsck_internal.h"

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

static err_code
open_database(struct fsck *f, struct err *err)
{
	struct err why;
	err_code rc = data_lock_old(&f->data, &why);

	if (rc == ERR_BUSY)
		return database_open_reader(&f->data, database_url(f->line), &f->db, err);
	if (rc && rc != ERR_NOT_FOUND) {
		*err = why;
		return rc;
	}
	return database_open_untouched(&f->data, database_url(f->line), &f->db, err);
}

/* A database that cannot even be opened is a finding too, and nothing else can be looked at then. */
static err_code
open_all(struct fsck *f, bool *readable, struct err *err)
{
	const char *path = command_data(f->line);
	err_code rc;

	*readable = false;
	rc = data_open_old(path, &f->data, err);
	if (rc)
		return rc;
	rc = open_database(f, err);
	if (rc == ERR_CORRUPT)
		return fsck_unreadable(f, NULL, "it cannot be opened", rc, err);
	if (!rc)
		rc = meta_sql_open(f->db, &f->chunks.meta, err);
	if (!rc)
		rc = store_fs_open_reader(path, &f->chunks.from, err);
	*readable = !rc;
	return rc;
}

/* ---- what is not of one project ---------------------------------------------------------------------------------------------- */

static void
note_engine(void *ctx, const char *finding)
{
	fsck_found(ctx, FOUND_DATABASE, NULL, "%s", finding);
}

static err_code
check_engine(struct fsck *f, struct err *err)
{
	return fsck_unreadable(f, NULL, "its pages", db_check(f->db, &db_server_migrations, note_engine, f, err), err);
}

/* Who copies another server's token beside this one's database is let in nowhere. */
static err_code
check_token(struct fsck *f, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	char token[TOKEN_LEN + 1];
	struct token_row row;
	struct hash hash;
	struct err why;
	err_code rc = data_token_read(&f->data, token, &why);

	if (rc == ERR_NOT_FOUND)
		return ERR_OK; /* the next start makes another */
	if (!rc) {
		hash = hash_of(token, TOKEN_LEN);
		rc = meta_begin(f->chunks.meta, META_READ, &tx, err);
		if (rc)
			return rc;
		rc = meta_token_get(tx, &hash, NULL, &row, err);
		if (!rc || rc != ERR_NOT_FOUND)
			return rc;
	}
	fsck_found(f, FOUND_TOKEN, NULL, "the token in owner.token is of no device");
	return ERR_OK;
}

/* ---- projects ------------------------------------------------------------------------------------------------------------------ */

typedef err_code project_check(struct fsck_project *w, struct err *err);

static const struct {
	const char *what;
	project_check *run;
} checks[] = {
	{ "its tree", fsck_tree },
	{ "its history", fsck_history },
	{ "its chunks", fsck_chunks },
	{ "its block lists", fsck_blocks },
	{ "its snapshots", fsck_snapshots },
	{ "its transfers and checkpoints", fsck_relations },
};

/* F3 */
static err_code
check_project(void *ctx, const struct id *id, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	struct fsck *f = ctx;
	struct fsck_project w = { .f = f };
	err_code rc = meta_begin(f->chunks.meta, META_READ, &tx, err);

	if (!rc)
		rc = meta_project_get(tx, id, &w.p, err);
	if (rc)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc; /* deleted meanwhile */
	w.p.name = NULL;
	w.tx = tx;
	f->projects++;
	for (size_t i = 0; !rc && i < ARRAY_LEN(checks); i++) {
		rc = fsck_unreadable(f, id, checks[i].what, checks[i].run(&w, err), err);
		meta_tx_trim(tx);
	}
	return rc;
}

/* ---- the command --------------------------------------------------------------------------------------------------------------- */

static err_code
check_all(struct fsck *f, struct err *err)
{
	bool readable;
	err_code rc = open_all(f, &readable, err);

	if (rc || !readable)
		return rc;
	rc = check_engine(f, err);
	if (!rc)
		rc = fsck_unreadable(f, NULL, "its devices", check_token(f, err), err);
	if (!rc)
		rc = fsck_unreadable(f, NULL, "its chunks", fsck_store(f, err), err);
	if (!rc)
		rc = fsck_unreadable(f, NULL, "its projects", chunk_copy_projects(&f->chunks, check_project, f, err), err);
	return rc ? rc : fsck_unreadable(f, NULL, "its chunks", fsck_unnamed(f, err), err);
}

static int
run(const struct command_line *line)
{
	AUTO(freep) struct fsck *f = xcalloc(1, sizeof *f);
	struct err err = { 0 };
	err_code rc;
	int status;

	*f = (struct fsck){ .line = line, .quick = command_has(line, 'Q'), .data = { .dir = -1, .lock = -1 }, .bad = map_new() };
	database_warn(line);
	copy_show_start(&f->show);
	f->chunks.tick = copy_show_chunks;
	f->chunks.ctx = &f->show;
	rc = check_all(f, &err);
	copy_show_clear(&f->show);
	status = rc ? command_fail(line, &err) : fsck_show(f);
	findings_fini(&f->found);
	fsck_headers_fini(f);
	chunk_copy_fini(&f->chunks);
	meta_free(f->chunks.meta);
	store_free(f->chunks.from);
	map_free(f->bad);
	data_close(&f->data);
	return status;
}

const struct command COMMAND_FSCK = {
	.name = "fsck",
	.args = "",
	.summary = "Check that all is there and agrees with itself, changing nothing",
	.options = "Qdbj",
	.run = run,
	.help = "Reads every chunk, compares it with its name and with what the metadata says, and the metadata with itself:\n"
	        "the tree, its history and block lists, digests, sums and clocks. Not a byte of the data directory changes.\n\n"
	        "Beside a server that runs, or without one; then none can be started until this has ended. With --quick only\n"
	        "the heads of chunks are read, which takes a hundredth of the time.\n\n"
	        "Each finding is a line with a code, and what to do. Exit status: 0 all is sound, 1 error, 2 wrong usage,\n"
	        "3 something was found.\n",
};
