/* Messages of the event stream. */

#include "wire_test.h"

#include "wire/event.h"

#define P1 "0123456789abcdef0123456789abcdef"
#define P2 "fedcba9876543210fedcba9876543210"
#define SINCE "5." P2

static err_code
read_asks(const char *s, struct arena *a, struct wire_asks *out, struct err *err)
{
	AUTO(bytes_fini) struct bytes b = bytes_of(s, strlen(s));

	return wire_asks_read(b.p, b.len, a, out, err);
}

static void
asks_are_read(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_asks asks;
	struct err err;
	char hex[ID_HEX_LEN + 1];

	(void)state;
	assert_code(read_asks("{\"subscribe\":[{\"project\":\"" P1 "\"},{\"since\":\"" SINCE "\",\"project\":\"" P2
	    "\"}],\"unsubscribe\":[{\"project\":\"" P2 "\"}]}", a, &asks, &err), ERR_OK, &err);
	assert_int_equal(asks.subscribe_n, 2);
	assert_string_equal(id_hex(&asks.subscribe[0].project, hex), P1);
	assert_false(asks.subscribe[0].has_since);
	assert_true(asks.subscribe[1].has_since && asks.subscribe[1].since.clock == 5);
	assert_int_equal(asks.unsubscribe_n, 1);
	assert_string_equal(id_hex(&asks.unsubscribe[0], hex), P2);
	assert_code(read_asks("{}", a, &asks, &err), ERR_OK, &err);
	assert_int_equal(asks.subscribe_n + asks.unsubscribe_n, 0);
}

static void
what_is_no_message(void **state)
{
	static const struct {
		const char *text;
		err_code want;
	} rows[] = {
		{ "", ERR_JSON_INVALID },
		{ "subscribe", ERR_JSON_INVALID },
		{ "[]", ERR_FIELD_TYPE },
		{ "{\"subscribe\":1}", ERR_FIELD_TYPE },
		{ "{\"subscribe\":[1]}", ERR_FIELD_TYPE },
		{ "{\"subscribe\":[{}]}", ERR_FIELD_MISSING },
		{ "{\"subscribe\":[{\"project\":\"x\"}]}", ERR_ID_INVALID },
		{ "{\"subscribe\":[{\"project\":\"" P1 "\",\"since\":\"x\"}]}", ERR_CURSOR_INVALID },
		{ "{\"subscribe\":[{\"project\":\"" P1 "\",\"from\":1}]}", ERR_UNKNOWN_FIELD },
		{ "{\"unsubscribe\":[{\"project\":\"" P1 "\",\"since\":\"" SINCE "\"}]}", ERR_UNKNOWN_FIELD },
		{ "{\"subscribe\":[],\"subscribe\":[]}", ERR_JSON_DUPLICATE_KEY },
		{ "{\"hello\":true}", ERR_UNKNOWN_FIELD },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_asks asks;
	struct err err;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_row(rows[i].text, read_asks(rows[i].text, a, &asks, &err), rows[i].want, &err);
}

static struct cursor
at(int64_t clock)
{
	struct cursor c = { .clock = clock, .has_epoch = true };

	assert_int_equal(id_parse(P2, ID_HEX_LEN, &c.epoch, NULL), ERR_OK);
	return c;
}

static void
messages_are_one_line(void **state)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	struct cursor c5 = at(5), c9 = at(9);
	struct wire_file f = { .path = "a\nb", .mtime_ns = 1, .version = 9 };
	struct wire_change change;
	struct err err;
	struct id p;

	(void)state;
	assert_int_equal(id_parse(P1, ID_HEX_LEN, &p, NULL), ERR_OK);
	wire_hello_write(&jw, &p, &c5, &(struct hash){ 0 });
	assert_non_null(strstr(sbuf_str(&sb), "{\"type\":\"hello\",\"project\":\"" P1 "\",\"cursor\":\"" SINCE "\",\"clock\":5,\"epoch\":\"" P2 "\""));
	sbuf_reset(&sb);
	wire_resync_write(&jw, &p, &c5, ERR_CURSOR_EXPIRED);
	assert_string_equal(sbuf_str(&sb), "{\"type\":\"resync\",\"project\":\"" P1 "\",\"code\":\"cursor_expired\",\"cursor\":\"" SINCE "\"}");
	sbuf_reset(&sb);
	(void)!err_set(&err, ERR_NOT_FOUND, "no");
	wire_event_error_write(&jw, &p, &err);
	assert_string_equal(sbuf_str(&sb), "{\"type\":\"error\",\"project\":\"" P1 "\",\"code\":\"not_found\",\"detail\":\"no\"}");
	sbuf_reset(&sb);
	wire_status_write(&jw, &p, &(struct wire_status){ .device = p, .online = true, .lag_us = -1 });
	assert_string_equal(sbuf_str(&sb), "{\"type\":\"status\",\"project\":\"" P1 "\",\"device\":\"" P1
	    "\",\"online\":true,\"cursor\":null,\"in_sync\":false,\"lag_us\":null}");
	sbuf_reset(&sb);
	wire_status_write(&jw, &p, &(struct wire_status){ .device = p, .has_at = true, .at = c5, .in_sync = true });
	assert_string_equal(sbuf_str(&sb), "{\"type\":\"status\",\"project\":\"" P1 "\",\"device\":\"" P1
	    "\",\"online\":false,\"cursor\":\"" SINCE "\",\"in_sync\":true,\"lag_us\":0}");
	sbuf_reset(&sb);
	wire_progress_write(&jw, &p, &(struct wire_progress){ .transfer = p, .device = p, .up = true, .path = "a\nb", .done = 1, .total = 2 });
	assert_string_equal(sbuf_str(&sb), "{\"type\":\"progress\",\"project\":\"" P1 "\",\"transfer\":\"" P1 "\",\"device\":\"" P1
	    "\",\"direction\":\"up\",\"path\":\"a\\nb\",\"done\":1,\"total\":2,\"state\":\"running\"}");
	sbuf_reset(&sb);
	wire_heartbeat_open(&jw);
	wire_heartbeat_project(&jw, &p, &c5, 9);
	wire_heartbeat_close(&jw);
	assert_string_equal(sbuf_str(&sb), "{\"type\":\"heartbeat\",\"projects\":[{\"project\":\"" P1 "\",\"cursor\":\"" SINCE "\",\"clock\":9}]}");
	sbuf_reset(&sb);
	wire_change_init(&change);
	wire_change_add(&change, WIRE_MODIFIED, &f);
	assert_true(wire_change_len(&change) > 100);
	wire_change_write(&change, &jw, &p, &c5, &c9);
	wire_change_fini(&change);
	assert_non_null(strstr(sbuf_str(&sb), "\"since\":\"" SINCE "\",\"cursor\":\"9." P2 "\",\"added\":[],\"modified\":[{\"id\":"));
	assert_non_null(strstr(sbuf_str(&sb), "\"path\":\"a\\nb\""));
	assert_null(strchr(sbuf_str(&sb), '\n'));
}

static err_code
read_event(const char *s, struct arena *a, struct wire_event *out, struct err *err)
{
	AUTO(bytes_fini) struct bytes b = bytes_of(s, strlen(s));

	return wire_event_read(b.p, b.len, a, out, err);
}

/* What is written is what is read; what is not known is no error, and what is wrong is one. */
static void
messages_are_read(void **state)
{
	static const struct {
		const char *text;
		err_code want;
	} rows[] = {
		{ "{\"type\":\"of the future\",\"x\":[1]}", ERR_OK },
		{ "{}", ERR_FIELD_MISSING },
		{ "[]", ERR_FIELD_TYPE },
		{ "{\"type\":1}", ERR_FIELD_TYPE },
		{ "{\"type\":\"change\",\"added\":[1]}", ERR_FIELD_TYPE },
		{ "{\"type\":\"status\"}", ERR_FIELD_MISSING },
		{ "{\"type\":\"progress\",\"transfer\":\"" P1 "\",\"device\":\"" P1 "\",\"direction\":\"up\",\"done\":-1}", ERR_FIELD_RANGE },
		{ "{\"type\":\"progress\",\"transfer\":\"" P1 "\",\"device\":\"" P1 "\",\"direction\":\"up\",\"done\":1,\"state\":\"x\"}", ERR_FIELD_RANGE },
	};
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);
	struct wire_event e;
	struct err err;
	struct id p;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++)
		assert_row(rows[i].text, read_event(rows[i].text, a, &e, &err), rows[i].want, &err);
	assert_int_equal(id_parse(P1, ID_HEX_LEN, &p, NULL), ERR_OK);
	wire_status_write(&jw, &p, &(struct wire_status){ .device = p, .online = true, .has_at = true, .at = at(5), .lag_us = 7 });
	assert_code(read_event(sbuf_str(&sb), a, &e, &err), ERR_OK, &err);
	assert_true(e.type == WIRE_EVENT_STATUS && e.status.online && e.status.at.clock == 5 && e.status.lag_us == 7 && !e.status.in_sync);
	sbuf_reset(&sb);
	wire_progress_write(&jw, &p, &(struct wire_progress){ .transfer = p, .device = p, .path = "a", .done = 1, .state = WIRE_GONE });
	assert_code(read_event(sbuf_str(&sb), a, &e, &err), ERR_OK, &err);
	assert_true(e.type == WIRE_EVENT_PROGRESS && !e.progress.up && e.progress.total == 0 && e.progress.state == WIRE_GONE);
	assert_string_equal(e.progress.path, "a");
}

/* What a device says of its downloads, on both sides of each limit. */
static void
reports_are_read(void **state)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct wire_progress said[PROGRESS_PER_DEVICE_MAX + 1], *got;
	struct err err;
	size_t n;

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(said); i++)
		said[i] = (struct wire_progress){ .path = i ? "a" : "", .done = (int64_t)i, .total = i ? 100 : 0, .state = WIRE_DONE };
	for (size_t count = PROGRESS_PER_DEVICE_MAX; count <= PROGRESS_PER_DEVICE_MAX + 1; count++) {
		AUTO(sbuf_fini) struct sbuf sb = SBUF(64 * KIB);
		AUTO(jdoc_freep) json_t *doc = NULL;
		struct jw jw = JW(&sb);
		struct json_in in;

		wire_progress_report(&jw, said, count);
		assert_code(json_in_parse((const uint8_t *)sbuf_str(&sb), sb.len, &doc, &err), ERR_OK, &err);
		assert_code(json_in_object(doc, "", false, &in, &err), ERR_OK, &err);
		assert_code(wire_progress_read(&in, a, &got, &n, &err), count > PROGRESS_PER_DEVICE_MAX ? ERR_FIELD_RANGE : ERR_OK, &err);
		if (count > PROGRESS_PER_DEVICE_MAX)
			continue;
		assert_int_equal(n, count);
		assert_true(got[0].total == 0 && got[0].path[0] == '\0' && got[3].done == 3 && got[3].total == 100 && got[3].state == WIRE_DONE);
	}
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_are_read),
		cmocka_unit_test(what_is_no_message),
		cmocka_unit_test(messages_are_one_line),
		cmocka_unit_test(messages_are_read),
		cmocka_unit_test(reports_are_read),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
