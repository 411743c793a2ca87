#include "unit.h"

#include <errno.h>
#include <fcntl.h>
#include <jansson.h>
#include <limits.h>
#include <pthread.h>

#include "base/log.h"
#include "base/utf8.h"

static char out[65536];
static int real_stderr, pipe_fd[2];

static void
capture(void)
{
	assert_int_equal(pipe2(pipe_fd, O_CLOEXEC | O_NONBLOCK), 0);
	real_stderr = dup(STDERR_FILENO);
	assert_true(dup2(pipe_fd[1], STDERR_FILENO) >= 0);
}

static const char *
captured(void)
{
	ssize_t n = read(pipe_fd[0], out, sizeof out - 1);

	dup2(real_stderr, STDERR_FILENO);
	close(real_stderr);
	close(pipe_fd[0]);
	close(pipe_fd[1]);
	out[MAX(n, 0)] = '\0';
	return out;
}

/* What follows the time, whose form is checked here. */
static const char *
after_time(const char *line)
{
	unsigned y, mo, d, h, mi, s, ms;
	int n = 0;

	assert_int_equal(sscanf(line, "%4u-%2u-%2uT%2u:%2u:%2u.%3uZ %n", &y, &mo, &d, &h, &mi, &s, &ms, &n), 7);
	assert_int_equal(n, 25);
	return line + n;
}

static void
text_form(void **state)
{
	(void)state;
	log_setup(LOG_INFO, false);
	capture();
	errno = EBADF;
	log_event(LOG_INFO, "server started", LOG_STR("address", "127.0.0.1:80"), LOG_U64("max", UINT64_MAX),
	    LOG_I64("min", INT64_MIN), LOG_STR("none", NULL), LOG_STR("two", "a b"), LOG_STR("eq", "a=b"));
	assert_int_equal(errno, EBADF);
	assert_string_equal(after_time(captured()),
	    "INFO  server started address=127.0.0.1:80 max=18446744073709551615 min=-9223372036854775808 none=\"\" "
	    "two=\"a b\" eq=\"a=b\"\n");
}

static void
text_cannot_be_forged(void **state)
{
	(void)state;
	log_setup(LOG_DEBUG, false);
	capture();
	log_event(LOG_WARN, "odd\nname", LOG_STR("p", "x\n2026-11-22T14:00:00.123Z ERROR fake a=\"b\""),
	    LOG_STR("q", "\"\\\t\r\x1B[31m\x7F\xFF\xC2\x9B\xE2\x80\xA8\xE2\x80\xAE\xC3\xA4"));
	assert_string_equal(after_time(captured()),
	    "WARN  odd\\nname p=\"x\\n2026-11-22T14:00:00.123Z ERROR fake a=\\\"b\\\"\" "
	    "q=\"\\\"\\\\\\t\\x0d\\x1b[31m\\x7f\\xff\\xc2\\x9b\\xe2\\x80\\xa8\\xe2\\x80\\xae\xC3\xA4\"\n");
}

/* The first and last of each run of characters that forge or hide, and their neighbours, which are text. */
static void
unsafe_characters_are_escaped(void **state)
{
	static const struct {
		const char *s;
		bool unsafe;
	} CHAR[] = {
		{ "\x01", true }, { "\x1F", true }, { " ", false }, { "~", false }, { "\x7F", true }, { "\xC2\x80", true },
		{ "\xC2\x9F", true }, { "\xC2\xA0", false }, { "\xD8\x9B", false }, { "\xD8\x9C", true }, { "\xD8\x9D", false },
		{ "\xE2\x80\x8D", false }, { "\xE2\x80\x8E", true }, { "\xE2\x80\x8F", true }, { "\xE2\x80\x90", false },
		{ "\xE2\x80\xA7", false }, { "\xE2\x80\xA8", true }, { "\xE2\x80\xAE", true }, { "\xE2\x80\xAF", false },
		{ "\xE2\x81\xA5", false }, { "\xE2\x81\xA6", true }, { "\xE2\x81\xA9", true }, { "\xE2\x81\xAA", false },
		{ "\xEF\xBB\xBE", false }, { "\xEF\xBB\xBF", true },
	};

	(void)state;
	for (size_t i = 0; i < ARRAY_LEN(CHAR); i++)
		for (int json = 0; json < 2; json++) {
			log_setup(LOG_DEBUG, json);
			capture();
			log_event(LOG_INFO, "m", LOG_STR("k", CHAR[i].s));
			if ((strstr(captured(), CHAR[i].s) == NULL) != CHAR[i].unsafe)
				fail_msg("row %zu: %s", i, out);
		}
}

static void
json_form(void **state)
{
	json_t *v;
	json_error_t why;
	const char *line;

	(void)state;
	log_setup(LOG_DEBUG, true);
	capture();
	log_event(LOG_ERROR, "a \"message\"", LOG_STR("s", "x\ny\t\x01\"\\\xFF\xC3\xA4\xE2\x80\xA8"),
	    LOG_I64("n", -5), LOG_U64("u", 7));
	line = captured();
	assert_int_equal(line[strlen(line) - 1], '\n');
	assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
	v = json_loads(line, JSON_REJECT_DUPLICATES, &why);
	assert_non_null(v);
	assert_int_equal(json_object_size(v), 6);
	assert_int_equal(strlen(json_string_value(json_object_get(v, "time"))), 24);
	assert_string_equal(json_string_value(json_object_get(v, "level")), "error");
	assert_string_equal(json_string_value(json_object_get(v, "message")), "a \"message\"");
	assert_string_equal(json_string_value(json_object_get(v, "s")), "x\ny\t\x01\"\\\xEF\xBF\xBD\xC3\xA4\xE2\x80\xA8");
	assert_int_equal(json_integer_value(json_object_get(v, "n")), -5);
	assert_int_equal(json_integer_value(json_object_get(v, "u")), 7);
	json_decref(v);
}

static void
levels_are_a_threshold(void **state)
{
	(void)state;
	log_setup(LOG_WARN, false);
	capture();
	log_event(LOG_INFO, "no", LOG_U64("n", 1));
	log_event(LOG_WARN, "yes", LOG_U64("n", 2));
	assert_string_equal(after_time(captured()), "WARN  yes n=2\n");
}

static void
error_has_code_text_and_place(void **state)
{
	struct err err;
	char want[256];
	int line;

	(void)state;
	log_setup(LOG_DEBUG, false);
	line = __LINE__ + 1;
	(void)!err_sys(&err, ERR_NO_SPACE, ENOSPC, "write x");
	capture();
	log_error(&err, "cannot commit");
	snprintf(want, sizeof want,
	    "ERROR cannot commit code=disk_full error=\"write x: No space left on device\" errno=%d at=%s:%d\n", ENOSPC, err.file,
	    line);
	assert_string_equal(after_time(captured()), want);
}

/* Around the length of a line: it is never longer than a pipe takes at once, always whole JSON, and says what was cut. */
static void
long_lines_are_cut_and_say_so(void **state)
{
	AUTO(freep) char *s = xmalloc(3 * PIPE_BUF + 1);
	bool were_cut[2] = { false, false };

	(void)state;
	for (size_t len = PIPE_BUF - 200; len < PIPE_BUF + 40; len++) {
		for (size_t i = 0; i < len; i++)
			s[i] = "\xC3\xA4"[i % 2]; /* an odd length ends in half a character */
		s[len] = '\0';
		for (int json = 0; json < 2; json++) {
			const char *line;
			bool cut;

			log_setup(LOG_DEBUG, json);
			capture();
			log_event(LOG_INFO, "m", LOG_STR("s", s), LOG_U64("n", 12345678));
			line = captured();
			assert_true(strlen(line) <= PIPE_BUF);
			assert_true(strlen(line) > PIPE_BUF - 300);
			assert_int_equal(strcspn(line, "\n"), strlen(line) - 1);
			assert_true(utf8_valid(line, strlen(line)));
			cut = strstr(line, "truncated") != NULL;
			were_cut[json] |= cut;
			assert_int_equal(!cut, strstr(line, "12345678") != NULL);
			if (json) {
				json_t *v = json_loads(line, JSON_REJECT_DUPLICATES, NULL);

				assert_non_null(v);
				assert_non_null(json_object_get(v, "s"));
				assert_int_equal(cut, json_is_true(json_object_get(v, "truncated")));
				json_decref(v);
			}
		}
	}
	assert_true(were_cut[0] && were_cut[1]);
	memset(s, 'x', 3 * PIPE_BUF);
	s[3 * PIPE_BUF] = '\0';
	for (int json = 0; json < 2; json++) {
		log_setup(LOG_DEBUG, json);
		capture();
		log_event(LOG_INFO, s, LOG_STR("k", "v"));
		assert_true(strlen(captured()) <= PIPE_BUF);
		assert_non_null(strstr(out, "xxx"));
		assert_non_null(strstr(out, "truncated"));
	}
}

static void *
chatter(void *arg)
{
	for (int i = 0; i < 50; i++)
		log_event(LOG_INFO, "m", LOG_STR("from", arg), LOG_STR("tail", "end"));
	return NULL;
}

static void
lines_of_threads_do_not_mix(void **state)
{
	static char name[4][64] = { "aaaaaaaaaa", "bbbbbbbbbb", "cccccccccc", "dddddddddd" };
	pthread_t t[4];
	size_t n = 0;

	(void)state;
	log_setup(LOG_DEBUG, false);
	capture();
	for (size_t i = 0; i < 4; i++)
		assert_int_equal(pthread_create(&t[i], NULL, chatter, name[i]), 0);
	for (size_t i = 0; i < 4; i++)
		pthread_join(t[i], NULL);
	for (const char *p = captured(); *p; p = strchr(p, '\n') + 1, n++) {
		const char *rest = after_time(p);

		assert_memory_equal(rest, "INFO  m from=", 13);
		assert_int_equal(strspn(rest + 13, (char[]){ rest[13], '\0' }), 10);
		assert_memory_equal(rest + 23, " tail=end\n", 10);
	}
	assert_int_equal(n, 200);
}

static void
a_log_that_cannot_be_written_is_dropped(void **state)
{
	int saved = dup(STDERR_FILENO);

	(void)state;
	close(STDERR_FILENO);
	errno = 0;
	log_event(LOG_ERROR, "nobody reads this", LOG_U64("n", 1));
	dup2(saved, STDERR_FILENO);
	close(saved);
	assert_int_equal(errno, 0);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(text_form),
		cmocka_unit_test(text_cannot_be_forged),
		cmocka_unit_test(unsafe_characters_are_escaped),
		cmocka_unit_test(json_form),
		cmocka_unit_test(levels_are_a_threshold),
		cmocka_unit_test(error_has_code_text_and_place),
		cmocka_unit_test(long_lines_are_cut_and_say_so),
		cmocka_unit_test(lines_of_threads_do_not_mix),
		cmocka_unit_test(a_log_that_cannot_be_written_is_dropped),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
