#pragma once
/**
 * The data directory of a server: meta.db or, with PostgreSQL, installation.json; chunks/, tmp/, owner.token (0600), drayd.lock, and
 * while a server runs server.json, which says where it listens.
 */

#include "base/err.h"
#include "base/id.h"
#include "wire/wire.h"

struct data {
	char *path;  /* as given */
	int dir;     /* its descriptor */
	int lock;    /* holds the lock while open; -1 without */
};

/** data_open(path, out, err): made, with mode 0700, when it is missing, and its name made durable.  Not locked. */
err_code data_open(const char *path, struct data *out, struct err *err);
/** data_open_old(path, out, err): one that is there; NOT_FOUND. */
err_code data_open_old(const char *path, struct data *out, struct err *err);
void data_close(struct data *d);

/** data_lock(d, err): BUSY while a server (or another command) has it. */
err_code data_lock(struct data *d, struct err *err);
/** data_lock_old(d, err): the same, making nothing: NOT_FOUND where no server has ever been. */
err_code data_lock_old(struct data *d, struct err *err);

/** data_rename(d, from, to, err): within the directory, durably. */
err_code data_rename(const struct data *d, const char *from, const char *to, struct err *err);

/** data_path(d, name): "PATH/name", the caller's to free. */
char *data_path(const struct data *d, const char *name);

/** The owner's token; NOT_FOUND before the first start. */
err_code data_token_read(const struct data *d, char token[static TOKEN_LEN + 1], struct err *err);
/** data_token_copy(from, to, err): nothing where there is none. */
err_code data_token_copy(const struct data *from, const struct data *to, struct err *err);
/** Durable, mode 0600. */
err_code data_token_write(const struct data *d, const char *token, struct err *err);

/** Where the running server listens, "HOST:PORT"; NOT_FOUND when none runs. */
#define ADDRESS_MAX 256
err_code data_address_read(const struct data *d, char address[static ADDRESS_MAX], struct err *err);
err_code data_address_write(const struct data *d, const char *address, struct err *err);
err_code data_address_remove(const struct data *d, struct err *err);

/** The installation that the directory belongs to, when its metadata is elsewhere; NOT_FOUND when it is in the directory.  Durable. */
err_code data_installation_read(const struct data *d, struct id *out, struct err *err);
err_code data_installation_write(const struct data *d, const struct id *id, struct err *err);
