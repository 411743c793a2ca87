/* What dray status --follow shows: on any screen no row too many and none too long, whatever names there are. */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <cmocka.h>

#include "client/follow_view.h"
#include "client/report.h"

#define ODD "日本語\033[31m\n/" "long long long long long long long long long long long long long long long.mov"

static struct follow_view v;

static void
progress(unsigned n, int64_t done, enum wire_progress_state state, int64_t now_ms, struct sbuf *lines)
{
	struct wire_event e = { .type = WIRE_EVENT_PROGRESS,
		.progress = { .transfer = { { (uint8_t)n } }, .up = true, .path = ODD, .done = done, .total = 10000, .state = state } };

	follow_event(&v, &e, now_ms, 0, lines);
}

static void
change(const char *path)
{
	struct wire_file f = { .path = path };

	follow_event(&v, &(struct wire_event){ .type = WIRE_EVENT_CHANGE, .files = &f, .n = 1, .added = 1 }, 0, 0, NULL);
}

static void
check_screen(size_t rows, size_t columns)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(MIB), fit = SBUF(MIB);
	size_t n = 1;

	follow_screen(&v, columns, rows, 5000, 0, &sb);
	for (char *row = sb.s, *end; row; row = end ? end + 1 : NULL, n++) {
		end = strchr(row, '\n');
		if (end)
			*end = '\0';
		for (const char *p = row; *p; p++)
			assert_true((unsigned char)*p >= ' ');
		assert_true(report_fit(&fit, row, 1000) < columns + 4 * 8); /* an escape's backslash is escaped once more here */
		sbuf_reset(&fit);
	}
	assert_true(n - 1 <= rows);
}

static void
screens_of_all_sizes(void **state)
{
	struct arena *a = arena_new(MIB);
	struct wire_device *list = arena_array(a, 9, sizeof *list);

	(void)state;
	follow_init(&v);
	v.project = v.own_name = ODD;
	assert_non_null(list);
	for (size_t i = 0; i < 9; i++)
		list[i] = (struct wire_device){ .name = ODD, .has_at = i > 0, .lag_us = (int64_t)i - 2, .lag_changes = (int64_t)i * 20 };
	follow_devices(&v, a, list, 9, 0, 0, NULL);
	for (unsigned i = 0; i < FOLLOW_TRANSFERS_MAX + 3; i++)
		progress(i, i, WIRE_RUNNING, 4000, NULL);
	assert_int_equal(v.transfer_count, 256); /* as many as a byte tells apart */
	for (unsigned i = 0; i < FOLLOW_CHANGES_MAX + 3; i++)
		change(i % 2 ? ODD : "a");
	assert_int_equal(v.change_count, FOLLOW_CHANGES_MAX);
	for (size_t rows = 1; rows < 60; rows += 3)
		for (size_t columns = 1; columns < 140; columns += 7)
			check_screen(rows, columns);
	follow_fini(&v);
}

static void
a_transfer_to_its_end(void **state)
{
	AUTO(sbuf_fini) struct sbuf lines = SBUF(MIB), screen = SBUF(MIB);

	(void)state;
	follow_init(&v);
	for (int64_t ms = 1000; ms <= 6000; ms += 200)
		progress(1, ms, WIRE_RUNNING, ms, &lines);
	follow_screen(&v, 100, 24, 6000, 0, &screen);
	assert_non_null(strstr(sbuf_str(&screen), " 60%     1000 B/s  0:04"));
	assert_non_null(strstr(sbuf_str(&screen), "[=======>    ]"));
	progress(1, 10000, WIRE_DONE, 6200, &lines);
	sbuf_reset(&screen);
	follow_screen(&v, 100, 24, 6300, 0, &screen);
	assert_non_null(strstr(sbuf_str(&screen), "mov  done"));
	follow_screen(&v, 100, 24, 20000, 0, &screen);
	assert_int_equal(v.transfer_count, 0);
	assert_non_null(strstr(sbuf_str(&lines), "\\x1b[31m\\x0a/long")); /* what would steer a terminal is shown instead */
	assert_non_null(strstr(sbuf_str(&lines), "  done\n"));
	progress(2, 1, WIRE_RUNNING, 30000, NULL);
	sbuf_reset(&screen);
	follow_screen(&v, 100, 24, 30000 + 60000, 0, &screen); /* silent for so long: over */
	assert_int_equal(v.transfer_count, 0);
	follow_fini(&v);
}

/* The list as the server answered; ${heard}: what had been heard when it was asked. */
static void
listed(bool connected, unsigned heard, struct sbuf *lines)
{
	struct arena *a = arena_new(MIB);
	struct wire_device *list = arena_array(a, 1, sizeof *list);

	assert_non_null(list);
	list[0] = (struct wire_device){ .name = "alpha", .connected = connected };
	follow_devices(&v, a, list, 1, heard, 0, lines);
}

static void
told(bool online, struct sbuf *lines)
{
	follow_event(&v, &(struct wire_event){ .type = WIRE_EVENT_STATUS, .status = { .online = online, .in_sync = true } }, 0, 0, lines);
}

/* Who comes and goes is said once, whether the list or the message is first. */
static void
coming_and_going_is_said_once(void **state)
{
	AUTO(sbuf_fini) struct sbuf lines = SBUF(MIB);

	(void)state;
	follow_init(&v);
	listed(false, 0, &lines);
	told(true, &lines);
	assert_string_equal(sbuf_str(&lines), "00:00:00  alpha is connected\n");
	sbuf_reset(&lines);
	listed(false, 0, &lines); /* asked before that was heard */
	assert_string_equal(sbuf_str(&lines), "");
	listed(false, v.heard, &lines);
	told(false, &lines);
	assert_string_equal(sbuf_str(&lines), "00:00:00  alpha has gone\n");
	follow_fini(&v);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(screens_of_all_sizes),
		cmocka_unit_test(coming_and_going_is_said_once),
		cmocka_unit_test(a_transfer_to_its_end),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
