/*
 * What processes on one database tell each other.  What the members of a group say goes out with their commit, in the same message:
 *
 *   SELECT pg_notify('dray_<schema>', '<id> <number>'), …; COMMIT
 *
 * so it costs no turn of the line, is heard only once the commit is visible, and not at all when it fails.  The server drops what is told while
 * nobody listens.  Who listens has a connection for it, which is made again when it is lost, after a rest by lot, so that the servers that one restart
 * of PostgreSQL has cut off do not all come back at once; and is then told that he has missed something.
 */
#include "db/postgres_internal.h"

#include "base/clock.h"
#include "base/fault.h"
#include "base/log.h"
#include "base/num.h"
#include "base/rng.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <unistd.h>

#define REST_FIRST_MS 50
#define REST_MAX_MS 5000

/* ---- telling ------------------------------------------------------------------------------------------------------------- */

/* The last about a thing is what counts, but one before the savepoint stands if the transaction is taken back to that. */
void
pg_tell(struct db_tx *tx, const struct id *about, int64_t number)
{
	struct pg_conn *c = pg_conn_of(tx);

	for (size_t i = c->said_before; i < c->said_n; i++) {
		if (id_eq(&c->said[i].about, about)) {
			c->said[i].number = number;
			return;
		}
	}
	if (c->said_n == c->said_max) {
		c->said_max = MAX(2 * c->said_max, (size_t)8);
		c->said = xrealloc(c->said, c->said_max * sizeof *c->said);
	}
	c->said[c->said_n++] = (struct pg_said){ *about, number };
}

static bool
said_again(const struct pg_conn *c, size_t i)
{
	for (size_t k = i + 1; k < c->said_n; k++)
		if (id_eq(&c->said[k].about, &c->said[i].about))
			return true;
	return false;
}

void
pg_commit_sql(const struct pg_conn *c, struct sbuf *sql)
{
	const char *before = "SELECT ";
	char hex[ID_HEX_LEN + 1];

	for (size_t i = 0; i < c->said_n; i++) {
		if (said_again(c, i))
			continue;
		sbuf_addf(sql, "%spg_notify('dray_%u', '%s %jd')", before, (unsigned)c->schema, id_hex(&c->said[i].about, hex),
		    (intmax_t)c->said[i].number);
		before = ", ";
	}
	sbuf_add(sql, c->said_n > 0 ? "; COMMIT" : "COMMIT");
}

/* ---- listening ----------------------------------------------------------------------------------------------------------- */

struct pg_listener {
	struct db_listener base;
	struct db_ears ears;
	struct pg_conn *conn; /* the thread's, once that runs */
	int stop_fd;
	pthread_t thread;
};

static err_code
start_listening(struct pg_listener *l, struct err *err)
{
	char sql[40];
	err_code rc = pg_connect(l->conn, err);

	if (rc)
		return rc;
	(void)snprintf(sql, sizeof sql, "LISTEN dray_%u", (unsigned)l->conn->schema);
	return pg_exec(l->conn, sql, err);
}

/* "<id> <number>"; what is not of this form is not ours. */
static void
hear_one(const struct pg_listener *l, const char *text)
{
	size_t len = strcspn(text, " ");
	struct id about;
	uint64_t number;

	if (text[len] != ' ' || id_parse(text, len, &about, NULL) || !parse_u64(text + len + 1, strlen(text + len + 1), INT64_MAX, &number))
		return;
	if (!FAULT("db.deaf"))
		l->ears.told(l->ears.ctx, &about, (int64_t)number);
}

static void
hear(const struct pg_listener *l)
{
	PGnotify *n;

	if (!PQconsumeInput(l->conn->pg))
		return; /* it is lost, which the loop sees */
	while ((n = PQnotifies(l->conn->pg))) {
		hear_one(l, n->extra);
		PQfreemem(n);
	}
}

/* Until something has come, or ${ms} have passed (-1: no matter how long); false: it is to stop. */
static bool
wait_for(const struct pg_listener *l, int fd, int ms)
{
	struct pollfd fds[] = { { .fd = l->stop_fd, .events = POLLIN }, { .fd = fd, .events = POLLIN } };

	(void)poll(fds, ARRAY_LEN(fds), ms);
	return fds[0].revents == 0;
}

/* ${times} attempts have failed. */
static bool
rest(const struct pg_listener *l, unsigned times)
{
	uint64_t most = MIN((uint64_t)REST_FIRST_MS << MIN(times, 10u), (uint64_t)REST_MAX_MS);

	return wait_for(l, -1, (int)(rng_u64() % (most + 1)));
}

/* False: it is to stop. */
static bool
listen_again(struct pg_listener *l)
{
	struct err err;

	for (unsigned times = 0; start_listening(l, &err); times++) {
		if (times == 0)
			log_error(&err, "what other servers commit is heard of late");
		if (!rest(l, times))
			return false;
	}
	l->ears.missed(l->ears.ctx);
	return true;
}

/* What was said while the connection was made lies within it, where poll does not see it: so it is looked at before each wait. */
static void *
listen_loop(void *arg)
{
	struct pg_listener *l = arg;

	for (;;) {
		if (pg_lost(l->conn) && !listen_again(l))
			return NULL;
		hear(l);
		if (!pg_lost(l->conn) && !wait_for(l, PQsocket(l->conn->pg), -1))
			return NULL;
	}
}

static void
listener_free(struct pg_listener *l)
{
	pg_conn_free(l->conn);
	closep(&l->stop_fd);
	free(l);
}

err_code
pg_listen(struct db *db, const struct db_ears *ears, struct db_listener **out, struct err *err)
{
	struct pg_listener *l = xcalloc(1, sizeof *l);
	err_code rc;

	l->base.ops = db->ops;
	l->ears = *ears;
	l->conn = pg_conn_new((struct pg *)db, DB_READ);
	l->stop_fd = eventfd(0, EFD_CLOEXEC);
	rc = l->stop_fd < 0 ? err_errno(err, "listen to the database") : start_listening(l, err);
	if (!rc)
		rc = thread_start("db-listen", listen_loop, l, &l->thread, err);
	if (rc)
		listener_free(l);
	else
		*out = &l->base;
	return rc;
}

void
pg_unlisten(struct db_listener *base)
{
	struct pg_listener *l = (struct pg_listener *)base;
	const uint64_t one = 1;

	(void)!write(l->stop_fd, &one, sizeof one);
	pthread_join(l->thread, NULL);
	listener_free(l);
}
