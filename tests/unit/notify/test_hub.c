/* The hub over socket pairs, on a change log in memory: nothing is lost, whatever becomes of hints, readers and permissions. */
#include "rig.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

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

/* Told so, the hub looks at once, and not in a minute when it would have looked by itself. */
static void
hints_that_were_missed(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .recheck_ms = 1000000, .heartbeat_ms = 100 });
	int fd;
	int64_t at = 1000;

	(void)state;
	notify_missed(hub); /* nobody listens */
	fd = join_and_hear(hub);
	follow(fd, at, commit(hub, 20, true));
	at = 1020;
	for (int i = 0; i < 50; i++) {
		int64_t to = commit(hub, 20, false);

		notify_missed(hub);
		notify_missed(hub);
		follow(fd, at, to);
		at = to;
	}
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
	while (atomic_load(&app.released) == 0 && patience() > 0) /* without an end from the peer */
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
	while (atomic_load(&app.released) == 0 && patience() > 0)
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
	while (notify_enter(hub, &app.device, NULL) && patience() > 0)
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
		cmocka_unit_test(hints_that_were_missed),
		cmocka_unit_test(who_may_not_listen_any_more),
		cmocka_unit_test(who_does_not_answer),
		cmocka_unit_test(who_does_not_read),
		cmocka_unit_test(places_and_the_end),
		cmocka_unit_test(no_more_than_so_many),
	};

	mutex_init(&app.mu, RANK_META);
	return cmocka_run_group_tests(tests, NULL, NULL);
}
