#pragma once
/**
 * Where a server's metadata is: meta.db in its data directory, or the PostgreSQL that a URL names.  Chunks are in the data directory either
 * way, so a database and a directory belong together: both know the installation's id, and neither is used with another.
 */

#include "base/command.h"
#include "db/db.h"
#include "server/data.h"

/** database_url(line): what --db says, or DRAYD_DB, or NULL. */
const char *database_url(const struct command_line *line);

/** database_warn(line): says so when a password stands on the command line, where everybody on the machine can read it. */
void database_warn(const struct command_line *line);

/**
 * database_open(d, url, out, err): open, with every migration applied.
 * Errors     USAGE: what ${url} says cannot be, or ${d} and the database do not belong together; those of db.h.
 */
err_code database_open(const struct data *d, const char *url, struct db **out, struct err *err);

/**
 * database_open_reader(d, url, out, err): to read beside a server that runs or not.  Nothing is made or changed.
 * Errors     as above; NOT_FOUND: there is none; DB with reason "older_schema": no server of this version has been started on it yet.
 */
err_code database_open_reader(const struct data *d, const char *url, struct db **out, struct err *err);

/**
 * database_open_untouched(d, url, out, err): the same where no server runs: not a byte of the data directory changes, nor is a file made beside
 * it.  The caller has locked ${d}.
 */
err_code database_open_untouched(const struct data *d, const char *url, struct db **out, struct err *err);

/** The file that has a server's metadata, in its data directory; the one of a backup, in the backup's. */
#define DATABASE_FILE "meta.db"
#define BACKUP_FILE "backup.db"

/** database_is_in(d): whether the directory has a server's metadata, or says which database has. */
bool database_is_in(const struct data *d);

/** database_file_remove(d, name, err): a SQLite file, if it is there, with what stands beside it. */
err_code database_file_remove(const struct data *d, const char *name, struct err *err);
