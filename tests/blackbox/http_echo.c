/*
 * A service for testing src/server/http over real sockets: one path for each way to read a body and to answer.
 *
 *   GET  /hello              "hello"                    any  /echo            the body, collected
 *   GET  /source?LEN         LEN bytes from a source    any  /stream          "LENGTH SUM" of the body, streamed
 *   GET  /broken?LEN         a source that fails half-way
 *   GET  /file?LEN           LEN bytes by sendfile      any  /early           401 without reading the body
 *   GET  /gate               waits until a line on standard input
 *   GET  /later?N            says "later" N times       any  /abort           422 from the first piece of a body
 *   GET  /stats              "heads dones bodies" so far
 *   GET  /take?STATUS        takes the connection: the head, what came behind the request, and the end
 *   GET  /hold?STATUS        the same, but the end comes with the gate
 *   GET  /target             what was parsed: method, path, query, peer
 *
 * http_echo key=value…: listen, hosts (comma-separated), connections, workers, log, head, idle, window, stall, drain, grace.
 * Prints its address; a line "gate" opens the gate, the end of standard input stops the server.
 */
#include <assert.h>
#include <errno.h>
#include <fcntl.h>
#include <signal.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/num.h"
#include "base/sbuf.h"
#include "base/thread.h"
#include "server/http/http.h"

struct app {
	atomic_ulong heads, dones, pieces;
	struct mutex mu; /* guards open */
	struct cond opened;
	bool open;
	struct conn *held; /* of /hold */
};

struct call {
	uint64_t len, sum, laters;
};

static uint64_t
number(const struct http_request *rq)
{
	const char *q = http_query(rq);
	uint64_t n = 0;

	return parse_u64(q, strlen(q), UINT32_MAX, &n) ? n : 0;
}

static bool
is(const struct http_request *rq, const char *path)
{
	return strcmp(http_path(rq), path) == 0;
}

static void
answer_text(struct http_request *rq, int status, const char *text)
{
	http_answer(rq, status, "text/plain", text, strlen(text));
}

/* ---- bodies to send ---- */

struct pattern {
	uint64_t pos, fail_at;
};

static err_code
pattern_read(void *ctx, uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	struct pattern *p = ctx;

	if (p->pos >= p->fail_at)
		return err_set(err, ERR_CORRUPT, "the source is broken");
	for (size_t i = 0; i < cap; i++)
		buf[i] = (uint8_t)(p->pos++ % 251);
	*got = cap;
	return ERR_OK;
}

static void
answer_pattern(struct http_request *rq, uint64_t len, uint64_t fail_at)
{
	struct pattern *p = xcalloc(1, sizeof *p);

	p->fail_at = fail_at;
	http_answer_source(rq, 200, "application/octet-stream", len, (struct http_source){ p, pattern_read, free });
}

static void
answer_file(struct http_request *rq, uint64_t len)
{
	char name[] = "/tmp/http_echo.XXXXXX";
	int fd = mkstemp(name);
	uint8_t buf[251 * 64];

	assert(fd >= 0);
	unlink(name);
	for (size_t i = 0; i < sizeof buf; i++)
		buf[i] = (uint8_t)(i % 251);
	for (uint64_t done = 0; done < len; done += sizeof buf) {
		ssize_t n = write(fd, buf, sizeof buf);

		assert(n == (ssize_t)sizeof buf);
	}
	http_answer_fd(rq, 200, "application/octet-stream", fd, 0, len);
}

static void
taken(void *ctx, const struct http_taken *t)
{
	struct app *app = ctx;
	ssize_t n;

	if (!t)
		return;
	if (app) { /* before the peer can see anything and send for the end */
		mutex_lock(&app->mu);
		app->held = t->conn;
		mutex_unlock(&app->mu);
	}
	n = send(t->fd, t->head, t->head_len, MSG_NOSIGNAL);
	assert(n == (ssize_t)t->head_len);
	n = send(t->fd, t->rest, t->rest_len, MSG_NOSIGNAL);
	assert(n == (ssize_t)t->rest_len);
	if (!app)
		http_release(t->conn);
}

/* ---- the callbacks ---- */

static enum http_next
on_head(void *ctx, struct http_request *rq)
{
	struct app *app = ctx;
	struct call *call = http_user(rq);

	if (!call) {
		atomic_fetch_add(&app->heads, 1);
		call = xcalloc(1, sizeof *call);
		http_set_user(rq, call);
	}
	http_set_body_max(rq, 8 * MIB);
	if (is(rq, "/later") && call->laters++ < number(rq))
		return HTTP_LATER;
	if (is(rq, "/early")) {
		http_add_header(rq, "WWW-Authenticate", "Bearer");
		answer_text(rq, 401, "no");
		return HTTP_ANSWERED;
	}
	if (is(rq, "/small"))
		http_set_body_max(rq, 10);
	if (is(rq, "/take") || is(rq, "/hold")) {
		http_add_header(rq, "X-Taken", "yes");
		http_take(rq, (int)number(rq), taken, is(rq, "/hold") ? app : NULL);
		return HTTP_ANSWERED;
	}
	return is(rq, "/stream") || is(rq, "/abort") ? HTTP_STREAM : HTTP_WHOLE;
}

static err_code
on_body(void *ctx, struct http_request *rq, const uint8_t *p, size_t len, struct err *err)
{
	struct app *app = ctx;
	struct call *call = http_user(rq);

	atomic_fetch_add(&app->pieces, 1);
	if (is(rq, "/abort"))
		return err_set(err, ERR_CHUNK_INVALID, "not wanted");
	for (size_t i = 0; i < len; i++)
		call->sum = call->sum * 31 + p[i];
	call->len += len;
	return ERR_OK;
}

static void
wait_for_gate(struct app *app)
{
	mutex_lock(&app->mu);
	while (!app->open)
		cond_wait(&app->opened, &app->mu);
	mutex_unlock(&app->mu);
}

static void
on_end(void *ctx, struct http_request *rq)
{
	struct app *app = ctx;
	const struct call *call = http_user(rq);
	struct sbuf sb = SBUF(64 * KIB);
	size_t len;
	const uint8_t *body = http_body(rq, &len);

	if (is(rq, "/echo")) {
		http_answer(rq, 200, "application/octet-stream", body, len);
	} else if (is(rq, "/stream")) {
		sbuf_addf(&sb, "%llu %llu", (unsigned long long)call->len, (unsigned long long)call->sum);
		http_answer_sbuf(rq, 200, "text/plain", &sb);
	} else if (is(rq, "/source")) {
		answer_pattern(rq, number(rq), UINT64_MAX);
	} else if (is(rq, "/broken")) {
		answer_pattern(rq, number(rq), number(rq) / 2);
	} else if (is(rq, "/file")) {
		answer_file(rq, number(rq));
	} else if (is(rq, "/nothing")) {
		http_answer(rq, 204, NULL, NULL, 0);
	} else if (is(rq, "/silent")) {
		return; /* a bug of the service: no answer */
	} else if (is(rq, "/stats")) {
		sbuf_addf(&sb, "%lu %lu %lu", atomic_load(&app->heads), atomic_load(&app->dones), atomic_load(&app->pieces));
		http_answer_sbuf(rq, 200, "text/plain", &sb);
	} else if (is(rq, "/target")) {
		sbuf_addf(&sb, "%s|%s|%s|%s|%s", http_method(rq), http_target(rq), http_path(rq), http_query(rq), http_peer(rq));
		http_answer_sbuf(rq, 200, "text/plain", &sb);
	} else {
		if (is(rq, "/gate"))
			wait_for_gate(app);
		http_note(rq, "device", "test");
		answer_text(rq, 200, "hello");
	}
	sbuf_fini(&sb);
}

static void
on_done(void *ctx, struct http_request *rq)
{
	struct app *app = ctx;
	struct call *call = http_user(rq);

	if (!call)
		return; /* refused before head() */
	atomic_fetch_add(&app->dones, 1);
	free(call);
}

/* ---- the program ---- */

static const char *
argument(char **argv, const char *key, const char *fallback)
{
	size_t len = strlen(key);

	for (; *argv; argv++)
		if (strncmp(*argv, key, len) == 0 && (*argv)[len] == '=')
			return *argv + len + 1;
	return fallback;
}

static unsigned
argument_number(char **argv, const char *key)
{
	const char *s = argument(argv, key, "0");
	uint64_t n = 0;

	assert(parse_u64(s, strlen(s), UINT32_MAX, &n));
	return (unsigned)n;
}

int
main(int argc, char **argv)
{
	static struct app app;
	const char *hosts[] = { argument(argv, "hosts", NULL), NULL };
	const struct http_opts opts = {
		.listen = argument(argv, "listen", "127.0.0.1:0"),
		.hosts = hosts[0] ? hosts : NULL,
		.workers = argument_number(argv, "workers"),
		.connections_max = argument_number(argv, "connections"),
		.access_log = argument_number(argv, "log") != 0,
		.head_deadline_ms = argument_number(argv, "head"),
		.idle_ms = argument_number(argv, "idle"),
		.body_window_ms = argument_number(argv, "window"),
		.write_stall_ms = argument_number(argv, "stall"),
		.drain_ms = argument_number(argv, "drain"),
	};
	const struct http_service service = { &app, on_head, on_body, on_end, on_done, NULL };
	struct http_server *server;
	struct conn *held;
	struct err err;
	char line[16];

	(void)argc;
	mutex_init(&app.mu, RANK_LEAF);
	cond_init(&app.opened);
	if (http_start(&opts, &service, &server, &err)) {
		fprintf(stderr, "%s\n", err.msg);
		return 1;
	}
	printf("%s\n", http_address(server));
	fflush(stdout);
	while (fgets(line, sizeof line, stdin)) {
		mutex_lock(&app.mu);
		app.open = true;
		cond_broadcast(&app.opened);
		held = TAKE(app.held);
		mutex_unlock(&app.mu);
		if (held)
			http_release(held);
	}
	http_stop(server, argument_number(argv, "grace"));
	printf("%lu %lu\n", atomic_load(&app.heads), atomic_load(&app.dones));
	return 0;
}
