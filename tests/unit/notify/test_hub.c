/* The hub over socket pairs, on a change log in memory: nothing is lost, whatever becomes of hints, readers and permissions. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include <poll.h>
#include <stdatomic.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/thread.h"
#include "server/notify/notify.h"
#include "server/notify/ws.h"

#define PATIENCE_MS 30000
#define PAGE 7 /* changes of one message */

/** A project: its clock is the number of changes, so message texts can be counted. */
static struct {
	struct mutex mu; /* RANK_META */
	int64_t clock;
	struct id project, epoch, device;
	atomic_bool revoked, broken;
	atomic_uint released;
} app;

static err_code
source_open(void *ctx, const struct id *device, const struct id *project, const struct cursor *since, struct notify_at *at,
    struct err *err)
{
	(void)ctx;
	assert_true(id_eq(device, &app.device));
	if (atomic_load(&app.revoked))
		return err_set(err, ERR_TOKEN_REVOKED, "revoked");
	if (atomic_load(&app.broken))
		return err_set(err, ERR_UNAVAILABLE, "broken");
	if (project && !id_eq(project, &app.project))
		return err_set(err, ERR_NOT_FOUND, "there is no such project here");
	mutex_lock(&app.mu);
	*at = (struct notify_at){ .epoch = app.epoch, .clock = app.clock };
	mutex_unlock(&app.mu);
	if (since && !id_eq(&since->epoch, &app.epoch))
		return err_set(err, ERR_EPOCH_CHANGED, "another history");
	return ERR_OK;
}

static err_code
source_read(void *ctx, const struct id *project, const struct cursor *since, int64_t upto, struct notify_page *page, struct err *err)
{
	int64_t end;

	(void)ctx;
	(void)project;
	(void)err;
	mutex_lock(&app.mu);
	end = MIN(app.clock, upto);
	mutex_unlock(&app.mu);
	*page = (struct notify_page){ .text = SBUF(64 * KIB), .to = MIN(end, since->clock + PAGE) };
	page->has_more = page->to < end;
	page->n = (unsigned)(page->to - since->clock);
	sbuf_addf(&page->text, "%lld %lld ", (long long)since->clock, (long long)page->to);
	for (int i = 0; i < 40; i++)
		sbuf_add(&page->text, "some more text of no meaning ");
	return ERR_OK;
}

static int64_t
commit(struct notify *hub, int64_t changes, bool tell)
{
	int64_t clock;

	mutex_lock(&app.mu);
	clock = app.clock += changes;
	mutex_unlock(&app.mu);
	if (tell)
		notify_changed(hub, &app.project, clock);
	return clock;
}

/* ---- a client --------------------------------------------------------------------------------------------------------------- */

static void
release(void *fd)
{
	close((int)(intptr_t)fd);
	atomic_fetch_add(&app.released, 1);
}

static int
join(struct notify *hub, bool subscribed)
{
	const struct wire_ask ask = { .project = app.project };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(notify_enter(hub, &app.device, NULL), ERR_OK);
	notify_add(hub, &(struct notify_conn){
		.kind = NOTIFY_WEBSOCKET,
		.fd = fds[1],
		.release = release,
		.release_ctx = (void *)(intptr_t)fds[1],
		.head = "",
		.device = app.device,
		.asks = &ask,
		.ask_count = subscribed,
	});
	return fds[0];
}

static bool
read_full_or_end(int fd, uint8_t *p, size_t len)
{
	for (size_t got = 0; got < len;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		assert_int_equal(poll(&pfd, 1, PATIENCE_MS), 1);
		n = read(fd, p + got, len - got);
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

/** The next frame's text; returns its opcode, or -1 at the end. */
static int
next_frame(int fd, char *text, size_t cap, size_t *len)
{
	uint8_t head[4];
	size_t n;

	if (!read_full_or_end(fd, head, 2))
		return -1;
	n = head[1] & 0x7f;
	if (n == 126) {
		assert_true(read_full_or_end(fd, head + 2, 2));
		n = (size_t)(head[2] << 8 | head[3]);
	}
	assert_true(n < cap);
	if (n > 0)
		assert_true(read_full_or_end(fd, (uint8_t *)text, n));
	text[n] = '\0';
	*len = n;
	return head[0] & 15;
}

/** The code with which the stream is closed; 0 when it ends without one. */
static unsigned
close_code(int fd)
{
	char text[8192];
	size_t len;
	int opcode;

	while ((opcode = next_frame(fd, text, sizeof text, &len)) >= 0)
		if (opcode == WS_OP_CLOSE)
			return (unsigned)((uint8_t)text[0] << 8 | (uint8_t)text[1]);
	return 0;
}

static bool
wait_for_text(int fd, const char *want, char *text, size_t cap)
{
	size_t len;
	int opcode;

	while ((opcode = next_frame(fd, text, cap, &len)) >= 0)
		if (opcode == WS_OP_TEXT && strstr(text, want))
			return true;
	return false;
}

/** Reads changes until ${until}: each begins where the one before has ended. */
static void
follow(int fd, int64_t from, int64_t until)
{
	char text[8192];

	while (from < until) {
		char want[40];

		assert_true(wait_for_text(fd, "no meaning", text, sizeof text));
		snprintf(want, sizeof want, "%lld ", (long long)from);
		if (strncmp(text, want, strlen(want)) != 0)
			fail_msg("a gap behind %lld: %.40s", (long long)from, text);
		{
			const char *to = text + strlen(want);
			uint64_t n;

			assert_true(parse_u64(to, strcspn(to, " "), INT64_MAX, &n));
			assert_true((int64_t)n > from);
			from = (int64_t)n;
		}
	}
}

static struct notify *
open_hub(struct notify_opts opts)
{
	struct notify *hub;
	struct err err;

	app.project = id_new();
	app.epoch = id_new();
	app.device = id_new();
	app.clock = 1000;
	atomic_store(&app.revoked, false);
	atomic_store(&app.broken, false);
	atomic_store(&app.released, 0);
	opts.source = (struct notify_source){ NULL, source_open, source_read };
	assert_int_equal(notify_open(&opts, &hub, &err), ERR_OK);
	return hub;
}

static int
join_and_hear(struct notify *hub)
{
	int fd = join(hub, true);
	char text[8192];

	assert_true(wait_for_text(fd, "\"hello\"", text, sizeof text));
	return fd;
}

/* ---- tests -------------------------------------------------------------------------------------------------------------------- */

struct writer {
	struct notify *hub;
	pthread_t thread;
};

static void *
write_much(void *arg)
{
	struct writer *w = arg;

	for (int i = 0; i < 500; i++)
		commit(w->hub, 1 + i % 3, true);
	return NULL;
}

static void
order_under_concurrent_commits(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ 0 });
	struct writer w[4];
	int fds[3];
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = join_and_hear(hub);
	for (size_t i = 0; i < ARRAY_LEN(w); i++) {
		w[i].hub = hub;
		assert_int_equal(thread_start("writer", write_much, &w[i], &w[i].thread, &err), ERR_OK);
	}
	for (size_t i = 0; i < ARRAY_LEN(w); i++)
		pthread_join(w[i].thread, NULL);
	for (size_t i = 0; i < ARRAY_LEN(fds); i++) {
		follow(fds[i], 1000, app.clock);
		close(fds[i]);
	}
	notify_free(hub);
	assert_int_equal(atomic_load(&app.released), ARRAY_LEN(fds));
}

static void
a_slow_reader_and_a_ring_that_has_passed(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .ring_max = 5000 });
	int slow = join_and_hear(hub), quick = join_and_hear(hub);
	int64_t at = 1000;

	(void)state;
	for (int i = 0; i < 600; i++) { /* some 700 KB, of which a socket pair keeps 200 */
		int64_t to = commit(hub, 3, true);

		follow(quick, at, to);
		at = to;
	}
	follow(slow, 1000, at);
	close(slow);
	close(quick);
	notify_free(hub);
}

static void
hints_that_are_lost(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .recheck_ms = 20, .heartbeat_ms = 100 });
	int fd = join_and_hear(hub);

	(void)state;
	follow(fd, 1000, commit(hub, 20, true)); /* beyond the reading that a new subscription begins with */
	follow(fd, 1020, commit(hub, 20, false));
	notify_changed(hub, &app.project, 5); /* old */
	notify_changed(hub, &app.project, 5000); /* never committed */
	follow(fd, 1040, commit(hub, 20, true));
	close(fd);
	notify_free(hub);
}

static void
who_may_not_listen_any_more(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .recheck_ms = 20, .heartbeat_ms = 100 });
	int fd = join_and_hear(hub), idle = join(hub, false);

	(void)state;
	atomic_store(&app.revoked, true);
	assert_int_equal(close_code(fd), WS_POLICY);
	assert_int_equal(close_code(idle), WS_POLICY);
	close(fd);
	close(idle);
	atomic_store(&app.revoked, false);
	fd = join_and_hear(hub);
	atomic_store(&app.broken, true); /* who cannot be asked about is not served */
	assert_int_equal(close_code(fd), WS_TRY_LATER);
	close(fd);
	notify_free(hub);
}

static void
who_does_not_answer(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .heartbeat_ms = 50, .pong_ms = 200, .close_ms = 50 });
	int fd = join_and_hear(hub);
	char text[8192], hex[ID_HEX_LEN + 1], want[200];
	size_t len;

	(void)state;
	snprintf(want, sizeof want, "\"cursor\":\"1000.%s\",\"clock\":1000", id_hex(&app.epoch, hex));
	assert_true(wait_for_text(fd, "\"heartbeat\"", text, sizeof text));
	assert_non_null(strstr(text, want));
	assert_int_equal(next_frame(fd, text, sizeof text, &len), WS_OP_PING);
	assert_int_equal(close_code(fd), WS_POLICY);
	while (atomic_load(&app.released) == 0) /* without an end from the peer */
		poll(NULL, 0, 1);
	close(fd);
	notify_free(hub);
}

static void
who_does_not_read(void **state)
{
	static const uint8_t bad[] = "\x81\x81\0\0\0\0x"; /* a message that has an error for an answer */
	struct notify *hub = open_hub((struct notify_opts){ .close_ms = 50 });
	int fd = join(hub, false);

	(void)state;
	while (send(fd, bad, sizeof bad - 1, MSG_NOSIGNAL) > 0)
		;
	while (atomic_load(&app.released) == 0)
		poll(NULL, 0, 1);
	close(fd);
	notify_free(hub);
}

static void
places_and_the_end(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .close_ms = 50 });
	int fds[EVENTS_PER_DEVICE_MAX], fds2[2];

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(fds); i++)
		fds[i] = join_and_hear(hub);
	assert_int_equal(notify_enter(hub, &app.device, NULL), ERR_TOO_MANY_REQUESTS);
	close(fds[0]);
	while (notify_enter(hub, &app.device, NULL))
		poll(NULL, 0, 1);
	notify_stop(hub);
	for (size_t i = 1; i < ARRAY_LEN(fds); i++) {
		assert_int_equal(close_code(fds[i]), WS_GOING_AWAY);
		close(fds[i]);
	}
	assert_int_equal(atomic_load(&app.released), ARRAY_LEN(fds));
	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds2), 0);
	notify_add(hub, &(struct notify_conn){ .fd = fds2[1], .release = release, .release_ctx = (void *)(intptr_t)fds2[1], .head = "",
	    .device = app.device }); /* who comes too late */
	assert_int_equal(atomic_load(&app.released), ARRAY_LEN(fds) + 1);
	close(fds2[0]);
	notify_free(hub);
}

static void
no_more_than_so_many(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .streams_max = 2 });
	const struct id other = { { 1 } };
	struct err err;

	(void)state;
	assert_int_equal(notify_enter(hub, &app.device, &err), ERR_OK);
	assert_int_equal(notify_enter(hub, &other, &err), ERR_OK);
	assert_int_equal(notify_enter(hub, &other, &err), ERR_UNAVAILABLE);
	notify_leave(hub, &app.device);
	assert_int_equal(notify_enter(hub, &other, &err), ERR_OK);
	notify_leave(hub, &other);
	notify_leave(hub, &other);
	notify_free(hub);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(order_under_concurrent_commits),
		cmocka_unit_test(a_slow_reader_and_a_ring_that_has_passed),
		cmocka_unit_test(hints_that_are_lost),
		cmocka_unit_test(who_may_not_listen_any_more),
		cmocka_unit_test(who_does_not_answer),
		cmocka_unit_test(who_does_not_read),
		cmocka_unit_test(places_and_the_end),
		cmocka_unit_test(no_more_than_so_many),
	};

	mutex_init(&app.mu, RANK_META);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
