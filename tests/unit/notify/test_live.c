/* What is told as it is now: rarely enough, the latest only, bounded, and never in a change's way. */
#include "rig.h"

#include <poll.h>
#include <unistd.h>

#include "base/clock.h"

#define TEXT (64 * KIB)

static struct id
id_of(unsigned n)
{
	return (struct id){ { (uint8_t)(n >> 8), (uint8_t)n, 1 } };
}

static struct wire_progress
of(const struct id *device, unsigned transfer, int64_t done)
{
	return (struct wire_progress){ .transfer = id_of(transfer), .device = *device, .path = "a/b", .done = done, .total = 1000000 };
}

static void
say(struct notify *hub, struct wire_progress p, enum wire_progress_state state)
{
	p.state = state;
	notify_progress(hub, &app.project, &p);
}

/** Says ${p} until the stream tells something that holds ${want}: a transfer is told only once it has gone on for a while. */
static void
say_until(struct notify *hub, struct wire_progress p, int fd, const char *want, char *text)
{
	struct pollfd pfd = { .fd = fd, .events = POLLIN };

	while (patience() > 0) {
		say(hub, p, WIRE_RUNNING);
		if (poll(&pfd, 1, 20) == 1) {
			assert_true(wait_for_text(fd, "\"type\"", text, TEXT));
			if (strstr(text, want))
				return;
		}
	}
}

static int64_t
number_in(const char *text, const char *key)
{
	const char *at = strstr(text, key);

	assert_non_null(at);
	return strtoll(at + strlen(key), NULL, 10);
}

/* ---- transfers -------------------------------------------------------------------------------------------------------------- */

static void
five_times_a_second(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ 0 });
	int fd = join_and_hear(hub);
	int64_t begun = clock_mono_ms(), elapsed, last = -1;
	char text[TEXT];
	unsigned told = 0, said = 0;

	(void)state;
	for (; clock_mono_ms() - begun < 1100; said++) {
		say(hub, of(&app.device, 1, said), WIRE_RUNNING);
		poll(NULL, 0, 1);
	}
	say(hub, of(&app.device, 1, 5), WIRE_DONE);
	do {
		int64_t done;

		assert_true(wait_for_text(fd, "\"progress\"", text, sizeof text));
		done = number_in(text, "\"done\":");
		assert_true(done > last);
		last = done;
		told++;
	} while (!strstr(text, "\"state\":\"done\""));
	elapsed = clock_mono_ms() - begun;
	assert_int_equal(last, 1000000); /* who is done has all of it */
	assert_true(told >= 2 && told <= elapsed / LIVE_EVERY_MS + 1);
	assert_true(said > told);
	close(fd);
	notify_free(hub);
}

static void
what_is_over_at_once_is_not_told(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ 0 });
	int fd = join_and_hear(hub);
	char text[TEXT], hex[ID_HEX_LEN + 1];
	const struct id two = id_of(2);

	(void)state;
	say(hub, of(&app.device, 1, 5), WIRE_RUNNING);
	say(hub, of(&app.device, 1, 5), WIRE_DONE);
	say(hub, of(&app.device, 3, 5), WIRE_GONE); /* never begun */
	say_until(hub, of(&app.device, 2, 5), fd, "\"progress\"", text);
	assert_non_null(strstr(text, id_hex(&two, hex)));
	close(fd);
	notify_free(hub);
}

static void
silence_is_the_end(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .silence_ms = 400, .heartbeat_ms = 100 });
	int fd = join_and_hear(hub), late;
	char text[TEXT];

	(void)state;
	say_until(hub, of(&app.device, 1, 5), fd, "\"running\"", text);
	assert_true(wait_for_text(fd, "\"gone\"", text, sizeof text));
	assert_int_equal(number_in(text, "\"done\":"), 5);
	late = join_and_hear(hub);
	say_until(hub, of(&app.device, 2, 7), late, "\"progress\"", text); /* what had ended before is not for who comes later */
	assert_int_equal(number_in(text, "\"done\":"), 7);
	assert_non_null(strstr(text, "\"running\""));
	close(fd);
	close(late);
	notify_free(hub);
}

/* So many different transfers are told of, when ${n} are said. */
static unsigned
count_told(unsigned n, bool up)
{
	struct notify *hub = open_hub((struct notify_opts){ 0 });
	int fd = join_and_hear(hub);
	uint8_t seen[64 * KIB] = { 0 };
	unsigned told = 0;
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	int64_t end = clock_mono_ms() + 3000;
	char text[TEXT];

	for (unsigned i = 0; clock_mono_ms() < end && told < n; i++) {
		for (unsigned k = 0; k < n; k++) {
			struct wire_progress p = of(&app.device, k, i);

			p.up = up;
			say(hub, p, WIRE_RUNNING);
		}
		while (poll(&pfd, 1, 50) == 1) {
			const char *at;
			unsigned k;

			assert_true(wait_for_text(fd, "\"type\"", text, sizeof text));
			at = strstr(text, "\"transfer\":\"");
			if (!at)
				continue;
			assert_int_equal(sscanf(at + strlen("\"transfer\":\""), "%4x", &k), 1);
			told += !seen[k];
			seen[k] = 1;
		}
	}
	close(fd);
	notify_free(hub);
	return told;
}

static void
not_too_many(void **state)
{
	(void)state;
	assert_int_equal(count_told(PROGRESS_MAX, true), PROGRESS_MAX);
	assert_int_equal(count_told(PROGRESS_MAX + 20, true), PROGRESS_MAX);
	assert_int_equal(count_told(PROGRESS_PER_DEVICE_MAX, false), PROGRESS_PER_DEVICE_MAX);
	assert_int_equal(count_told(PROGRESS_PER_DEVICE_MAX + 5, false), PROGRESS_PER_DEVICE_MAX);
}

/* Megabytes of state for one who does not read, between changes: he gets every change, and of the state what is true when he reads. */
static void
changes_come_first(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ 0 });
	int slow = join_and_hear(hub), quick = join_and_hear(hub);
	int64_t at = 1000, last = -1;
	char path[PATH_LEN_MAX + 1], text[TEXT];
	unsigned told = 0;

	(void)state;
	memset(path, 'x', sizeof path - 1);
	path[sizeof path - 1] = '\0';
	for (int round = 1; round <= 8; round++) {
		int64_t to;

		for (unsigned k = 0; k < 64; k++) {
			struct wire_progress p = of(&app.device, k, round);

			p.up = true;
			p.path = path;
			say(hub, p, WIRE_RUNNING);
		}
		do {
			assert_true(wait_for_text(quick, "\"progress\"", text, sizeof text));
		} while (number_in(text, "\"done\":") < round);
		to = commit(hub, 3, true);
		follow(quick, at, to);
		at = to;
	}
	for (unsigned i = 0; i < 400; i++) { /* until it surely takes no more */
		int64_t to = commit(hub, 3, true);

		follow(quick, at, to);
		at = to;
	}
	for (int64_t from = 1000; from < at;) {
		assert_true(wait_for_text(slow, "", text, sizeof text));
		if (strstr(text, "\"progress\"")) {
			told++;
			last = number_in(text, "\"done\":"); /* the latest may be told before the last change, or after it */
			continue;
		}
		if (strstr(text, "no meaning")) {
			assert_int_equal(strtoll(text, NULL, 10), from);
			from = strtoll(strchr(text, ' '), NULL, 10);
		}
	}
	assert_true(told < 8 * 64); /* most of them were outlived by what came after */
	while (last < 8) {
		assert_true(wait_for_text(slow, "\"progress\"", text, sizeof text));
		last = number_in(text, "\"done\":");
	}
	close(slow);
	close(quick);
	notify_free(hub);
}

static void
no_part_of_the_cursor(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ 0 });
	int fd = join_as(hub, &app.device, NOTIFY_SSE, true);
	struct pollfd pfd = { .fd = fd, .events = POLLIN };
	char text[TEXT];
	size_t len = 0;

	(void)state;
	for (text[0] = '\0'; !strstr(text, "\"running\"}\n\n") && patience() > 0;) {
		say(hub, of(&app.device, 1, 5), WIRE_RUNNING);
		if (poll(&pfd, 1, 20) == 1) {
			ssize_t n = read(fd, text + len, sizeof text - len - 1);

			assert_true(n > 0);
			len += (size_t)n;
			text[len] = '\0';
		}
	}
	assert_non_null(strstr(text, "event: hello\nid: 1000."));
	assert_non_null(strstr(text, "event: progress\ndata: {\"type\":\"progress\","));
	close(fd);
	notify_free(hub);
}

/* ---- devices ---------------------------------------------------------------------------------------------------------------- */

static void
a_device_comes_and_goes(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ 0 });
	const struct id other = id_of(77);
	int fd = join_and_hear(hub), theirs, twin;
	char text[TEXT], hex[ID_HEX_LEN + 1];

	(void)state;
	app.any_device = true;
	assert_false(notify_present(hub, &app.project, &other));
	theirs = join_as(hub, &other, NOTIFY_WEBSOCKET, true);
	assert_true(wait_for_text(fd, "\"status\"", text, sizeof text));
	assert_non_null(strstr(text, id_hex(&other, hex)));
	assert_non_null(strstr(text, "\"online\":true,\"cursor\":null,\"in_sync\":false,\"lag_us\":null}"));
	assert_true(notify_present(hub, &app.project, &other));
	assert_false(notify_present(hub, &other, &other));
	assert_true(wait_for_text(theirs, "\"status\"", text, sizeof text)); /* who is there already */
	assert_non_null(strstr(text, id_hex(&app.device, hex)));
	twin = join_as(hub, &other, NOTIFY_WEBSOCKET, true);
	assert_true(wait_for_text(twin, "\"hello\"", text, sizeof text));
	say_until(hub, of(&other, 1, 5), fd, "\"running\"", text);
	close(theirs); /* the other stream of the device is still there */
	say_until(hub, of(&other, 1, 6), fd, "\"done\":6", text);
	close(twin);
	for (bool gone = false, over = false; !gone || !over;) {
		assert_true(wait_for_text(fd, "\"type\"", text, sizeof text));
		gone |= strstr(text, "\"status\"") && strstr(text, "\"online\":false");
		over |= strstr(text, "\"progress\"") && strstr(text, "\"gone\"");
		assert_true(gone == !notify_present(hub, &app.project, &other) || !gone);
	}
	close(fd);
	notify_free(hub);
}

static void
a_device_lags_and_catches_up(void **state)
{
	struct notify *hub = open_hub((struct notify_opts){ .lag_ms = 20, .heartbeat_ms = 100 });
	const struct id other = id_of(77);
	struct cursor at = { .clock = 1003, .has_epoch = true };
	int fd, theirs;
	char text[TEXT], want[100], hex[ID_HEX_LEN + 1];

	(void)state;
	app.any_device = true;
	app.place = 1000;
	at.epoch = app.epoch;
	fd = join_and_hear(hub);
	theirs = join_as(hub, &other, NOTIFY_WEBSOCKET, true);
	assert_true(wait_for_text(fd, "\"status\"", text, sizeof text));
	snprintf(want, sizeof want, "\"online\":true,\"cursor\":\"1000.%s\",\"in_sync\":true,\"lag_us\":0}", id_hex(&app.epoch, hex));
	assert_non_null(strstr(text, want));
	commit(hub, 3, true);
	assert_true(wait_for_text(fd, "\"status\"", text, sizeof text));
	assert_non_null(strstr(text, "\"in_sync\":false,\"lag_us\":3}"));
	notify_place(hub, &app.project, &other, &at);
	assert_true(wait_for_text(fd, "\"status\"", text, sizeof text));
	snprintf(want, sizeof want, "\"cursor\":\"1003.%s\",\"in_sync\":true,\"lag_us\":0}", hex);
	assert_non_null(strstr(text, want));
	at.epoch = id_of(9); /* of another history: how far behind cannot be said */
	notify_place(hub, &app.project, &other, &at);
	commit(hub, 1, true);
	assert_true(wait_for_text(fd, "\"status\"", text, sizeof text));
	assert_non_null(strstr(text, "\"in_sync\":false,\"lag_us\":null}"));
	close(fd);
	close(theirs);
	notify_free(hub);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(five_times_a_second),
		cmocka_unit_test(what_is_over_at_once_is_not_told),
		cmocka_unit_test(silence_is_the_end),
		cmocka_unit_test(not_too_many),
		cmocka_unit_test(changes_come_first),
		cmocka_unit_test(no_part_of_the_cursor),
		cmocka_unit_test(a_device_comes_and_goes),
		cmocka_unit_test(a_device_lags_and_catches_up),
	};

	mutex_init(&app.mu, RANK_META);
	cmocka_set_test_filter(getenv("DRAY_TEST_ONLY"));
	return cmocka_run_group_tests(tests, NULL, NULL);
}
