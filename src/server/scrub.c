/*
 * drayd scrub: is every chunk what its name says?  Reads each chunk that the metadata names, beside a server that runs or without one; changes
 * nothing.  One that is collected while this goes on is missing without anything being wrong: whether it is still named is asked at the end.
 */
#include "server/commands.h"
#include "server/copy_show.h"
#include "server/database.h"

struct scrub {
	struct data data;
	struct chunk_copy copy;
	struct copy_show show;
};

static err_code
open_all(struct scrub *s, const struct command_line *line, struct err *err)
{
	const char *path = command_data(line);
	struct db *db;
	err_code rc;

	rc = data_open_old(path, &s->data, err);
	if (!rc)
		rc = database_open_reader(&s->data, database_url(line), &db, err);
	if (!rc)
		rc = meta_sql_open(db, &s->copy.meta, err);
	return rc ? rc : store_fs_open_reader(path, &s->copy.from, err);
}

/* Those that are named no more are taken from the list. */
static err_code
forget_collected(struct chunk_copy *c, struct err *err)
{
	AUTO(meta_abort) struct meta_tx *tx = NULL;
	size_t kept = 0;
	err_code rc;

	rc = meta_begin(c->meta, META_READ, &tx, err);
	for (size_t i = 0; !rc && i < c->bad_count; i++) {
		const struct store_key *key = &c->bad[i].key;
		struct chunk chunk;

		rc = meta_chunk_get(tx, &key->project, &key->hash, &chunk, err);
		if (rc == ERR_OK)
			c->bad[kept++] = c->bad[i];
		else if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
	}
	if (!rc)
		c->bad_count = kept;
	return rc;
}

static err_code
scrub(struct scrub *s, const struct command_line *line, struct err *err)
{
	err_code rc = open_all(s, line, err);

	if (!rc)
		rc = chunk_copy_count(&s->copy, err);
	if (!rc)
		rc = chunk_copy_run(&s->copy, err);
	return rc ? rc : forget_collected(&s->copy, err);
}

static int
run(const struct command_line *line)
{
	struct scrub s = { .data = { .dir = -1, .lock = -1 } };
	struct err err = { 0 };
	err_code rc;
	int status;

	database_warn(line);
	copy_show_start(&s.show);
	s.copy.tick = copy_show_chunks;
	s.copy.ctx = &s.show;
	rc = scrub(&s, line, &err);
	copy_show_clear(&s.show);
	status = rc ? command_fail(line, &err) : copy_show_result(line, "Read", &s.copy, 0);
	chunk_copy_fini(&s.copy);
	meta_free(s.copy.meta);
	store_free(s.copy.from);
	data_close(&s.data);
	return status;
}

const struct command COMMAND_SCRUB = {
	.name = "scrub",
	.args = "",
	.summary = "Read every chunk, and say which are missing or damaged",
	.options = "dbj",
	.run = run,
	.help = "Beside a server that runs, or without one; nothing is changed. Exit status 1 when a chunk is bad.\n",
};
