#include <unistd.h>

#include "base/clock.h"
#include "base/log.h"
#include "base/pathat.h"
#include "base/sbuf.h"
#include "server/database.h"

#define VARIABLE "DRAYD_DB"

const char *
database_url(const struct command_line *line)
{
	const char *url = command_value(line, 'b');

	if (!url)
		url = getenv(VARIABLE);
	return url && *url ? url : NULL;
}

/* "//user:password@", or password= among the parameters. */
static bool
has_password(const char *url)
{
	const char *start = strstr(url, "://"), *at = strchr(url, '@');

	if (strstr(url, "password="))
		return true;
	return start && at && memchr(start + 3, ':', (size_t)MAX(at - start - 3, 0));
}

void
database_warn(const struct command_line *line)
{
	const char *url = command_value(line, 'b');

	if (url && has_password(url))
		log_event(LOG_WARN, "the password in --db can be read in the list of processes; put the URL into " VARIABLE
		                    ", or the password into a file (PGPASSFILE, service=)",
		    LOG_STR("option", "--db"));
}

static bool
is_postgres(const char *url)
{
	return strncmp(url, "postgresql://", 13) == 0 || strncmp(url, "postgres://", 11) == 0;
}

/* A server that forgot --db must not start with an empty database beside its chunks, nor one that has meta.db with an empty --db. */
static err_code
check_place(const struct data *d, const char *url, struct err *err)
{
	struct id id;
	err_code rc = data_installation_read(d, &id, err);

	if (url && !is_postgres(url))
		return err_set(err, ERR_USAGE, "--db takes postgresql://USER@HOST:PORT/DATABASE");
	if (rc == ERR_OK && !url)
		return err_set(err, ERR_USAGE, "the metadata of %s is in PostgreSQL: say where, with --db or " VARIABLE, d->path);
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	if (faccessat(d->dir, BACKUP_FILE, F_OK, 0) == 0)
		return err_set(err, ERR_USAGE, "%s is a backup: drayd restore %s --data DIR makes a server's directory of it", d->path, d->path);
	if (url && faccessat(d->dir, DATABASE_FILE, F_OK, 0) == 0)
		return err_set(err, ERR_USAGE, "%s has its metadata in " DATABASE_FILE "; --db needs a data directory of its own", d->path);
	return ERR_OK;
}

/* The file last: a start that was cut short before it leaves a database that nobody has used, and that the next one may have. */
static err_code
check_pair(const struct data *d, struct db *db, struct err *err)
{
	struct id of_db, of_data;
	bool fresh;
	err_code rc, known;

	known = data_installation_read(d, &of_data, err);
	if (known && known != ERR_NOT_FOUND)
		return known;
	rc = db_identity(db, clock_wall_us(), &of_db, &fresh, err);
	if (rc)
		return rc;
	if (known && !fresh)
		return err_set(err, ERR_USAGE,
		    "the database belongs to another data directory: start with that, or put its installation.json into %s", d->path);
	if (!known && !id_eq(&of_db, &of_data))
		return err_set(err, ERR_USAGE, "%s belongs to another database", d->path);
	return known ? data_installation_write(d, &of_db, err) : ERR_OK;
}

static err_code
open_engine(const struct data *d, const char *url, struct db **out, struct err *err)
{
	AUTO(freep) char *path = data_path(d, DATABASE_FILE);

	if (url)
		return db_postgres_open(&(struct db_postgres_opts){ .url = url }, out, err);
	return db_sqlite_open(&(struct db_sqlite_opts){ .path = path }, out, err);
}

err_code
database_open(const struct data *d, const char *url, struct db **out, struct err *err)
{
	struct db *db;
	err_code rc;

	rc = check_place(d, url, err);
	if (!rc)
		rc = open_engine(d, url, &db, err);
	if (rc)
		return rc;
	rc = db_migrate(db, &db_server_migrations, clock_wall_us(), err);
	if (!rc && url)
		rc = check_pair(d, db, err);
	if (rc)
		db_free(db);
	else
		*out = db;
	return rc;
}

static err_code
check_pair_reader(const struct data *d, struct db *db, struct err *err)
{
	struct id of_db, of_data;
	err_code rc;

	rc = data_installation_read(d, &of_data, err);
	if (!rc)
		rc = db_identity_read(db, &of_db, err);
	if (!rc && !id_eq(&of_db, &of_data))
		rc = err_set(err, ERR_USAGE, "%s belongs to another database", d->path);
	return rc;
}

static err_code
open_engine_reader(const struct data *d, const char *url, bool untouched, struct db **out, struct err *err)
{
	AUTO(freep) char *path = data_path(d, DATABASE_FILE);

	if (url)
		return db_postgres_open(&(struct db_postgres_opts){ .url = url }, out, err);
	if (faccessat(d->dir, DATABASE_FILE, F_OK, 0) != 0)
		return err_set(err, ERR_NOT_FOUND, "%s is not the data directory of a server: it has no " DATABASE_FILE, d->path);
	return db_sqlite_open(&(struct db_sqlite_opts){ .path = path, .read_only = true, .untouched = untouched }, out, err);
}

static err_code
open_reader(const struct data *d, const char *url, bool untouched, struct db **out, struct err *err)
{
	struct db *db;
	err_code rc;

	rc = check_place(d, url, err);
	if (!rc)
		rc = open_engine_reader(d, url, untouched, &db, err);
	if (rc)
		return rc;
	rc = db_migrated(db, &db_server_migrations, err);
	if (!rc && url)
		rc = check_pair_reader(d, db, err);
	if (rc)
		db_free(db);
	else
		*out = db;
	return rc;
}

err_code
database_open_reader(const struct data *d, const char *url, struct db **out, struct err *err)
{
	return open_reader(d, url, false, out, err);
}

err_code
database_open_untouched(const struct data *d, const char *url, struct db **out, struct err *err)
{
	return open_reader(d, url, true, out, err);
}

/* ---- files ---------------------------------------------------------------------------------------------------------------- */

bool
database_is_in(const struct data *d)
{
	struct err why;
	struct id id;

	return faccessat(d->dir, DATABASE_FILE, F_OK, 0) == 0 || data_installation_read(d, &id, &why) != ERR_NOT_FOUND;
}

err_code
database_file_remove(const struct data *d, const char *name, struct err *err)
{
	static const char *const ends[] = { "", "-wal", "-shm" };
	err_code rc = ERR_OK;

	for (size_t i = 0; !rc && i < ARRAY_LEN(ends); i++) {
		AUTO(sbuf_fini) struct sbuf file = SBUF(KIB);

		sbuf_addf(&file, "%s%s", name, ends[i]);
		rc = pathat_unlink(d->dir, sbuf_str(&file), 0, err);
		if (rc == ERR_NOT_FOUND)
			rc = ERR_OK;
	}
	return rc;
}
