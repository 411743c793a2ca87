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

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(asks_are_read),
		cmocka_unit_test(what_is_no_message),
		cmocka_unit_test(messages_are_one_line),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
