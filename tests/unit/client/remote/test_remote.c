/*
 * The client against servers that are not what they should be: each answer either means exactly what it says, or is an error of the
 * right kind, in bounded time and memory.
 */
#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/clock.h"
#include "client/remote/http.h"
#include "hostile.h"

static struct hostile server;
static struct arena *arena;
static struct err err;
static bool cancel;
static char token[TOKEN_LEN + 1];

#define SELF_JSON "{\"device\":\"00112233445566778899aabbccddeeff\",\"device_name\":\"d\",\"project_name\":\"p\"," \
	"\"role\":\"writer\",\"newer\":[1,2]}"

static int
group_setup(void **ctx)
{
	(void)ctx;
	hostile_start(&server);
	arena = arena_new(256 * MIB);
	token_new(token);
	return 0;
}

static int
group_teardown(void **ctx)
{
	(void)ctx;
	hostile_stop(&server);
	arena_free(arena);
	return 0;
}

static struct remote *
open_remote(int64_t retry_ms)
{
	static char url[64];
	struct remote_opts opts = { .url = url, .token = token, .retry_ms = retry_ms, .cancel = &cancel, .stall_s = 2 };
	struct remote *r = NULL;

	snprintf(url, sizeof url, "http://127.0.0.1:%u", server.port);
	cancel = false;
	assert_int_equal(remote_open(&opts, &r, &err), ERR_OK);
	return r;
}

/* One answer, said to every attempt, and what remote_self makes of it. */
static err_code
self_given_n(const void *p, size_t len, size_t cut)
{
	struct reply reply = { .p = p, .len = len, .cut = cut };
	struct remote *r = open_remote(1);
	struct remote_self self;
	err_code rc;

	hostile_script(&server, &reply, 1);
	rc = remote_self(r, arena, &self, &err);
	remote_free(r);
	return rc;
}

static err_code
self_given(const char *answer)
{
	return self_given_n(answer, strlen(answer), 0);
}

static const char *
answer_of(const char *head, const char *body)
{
	return arena_printf(arena, "%s\r\nContent-Length: %zu\r\n\r\n%s", head, strlen(body), body);
}

#define OK_HEAD "HTTP/1.1 200 OK\r\nContent-Type: application/json"
#define PROBLEM(status) "HTTP/1.1 " #status " X\r\nContent-Type: application/problem+json"

#define BYTES(status, range) "HTTP/1.1 " #status " X\r\nContent-Type: application/octet-stream\r\n" range

/* SELF_JSON in chunked framing. */
#define SELF_CHUNKED "70\r\n" SELF_JSON "\r\n0\r\n\r\n"
_Static_assert(sizeof SELF_JSON - 1 == 0x70, "the length is written down");

static void *
cancel_soon(void *arg)
{
	(void)arg;
	usleep(300000);
	__atomic_store_n(&cancel, true, __ATOMIC_RELAXED);
	return NULL;
}

/* ---- what is said ------------------------------------------------------------------------------------------------------------- */

static void
test_good(void **ctx)
{
	struct reply reply = { .keep = true };
	struct remote *r = open_remote(1);
	struct remote_stats stats;
	struct remote_self self;

	(void)ctx;
	reply.p = answer_of(OK_HEAD "; charset=utf-8", SELF_JSON);
	reply.len = strlen(reply.p);
	hostile_script(&server, &reply, 1);
	for (int i = 0; i < 3; i++)
		assert_int_equal(remote_self(r, arena, &self, &err), ERR_OK);
	assert_true(self.writer);
	assert_string_equal(self.project_name, "p");
	remote_stats(r, &stats);
	assert_int_equal(stats.requests, 3);
	assert_int_equal(stats.retries, 0);
	assert_true(stats.bytes_down >= 3 * reply.len && stats.bytes_up > 300);
	assert_non_null(strstr(server.seen[0], "Authorization: Bearer dray_"));
	assert_non_null(strstr(server.seen[0], "GET /projects/00000000000000000000000000000000/checkpoint HTTP/1.1\r\n"));
	assert_null(strcasestr(server.seen[0], "accept-encoding"));
	remote_free(r);
}

static void
test_chunked_is_framed(void **ctx)
{
	const char *json;

	(void)ctx;
	json = arena_printf(arena, OK_HEAD "\r\nTransfer-Encoding: chunked\r\n\r\n%zx\r\n%s\r\n0\r\n\r\n", strlen(SELF_JSON), SELF_JSON);
	assert_int_equal(self_given(json), ERR_OK);
}

static void
test_not_dray(void **ctx)
{
	static const struct {
		const char *answer;
		err_code code;
	} rows[] = {
		/* a captive portal */
		{ "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nContent-Type: application/jsonx\r\nContent-Length: 2\r\n\r\n{}", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}", ERR_PROTOCOL },
		{ "HTTP/1.1 200 OK\r\nContent-Type: text/html\r\nTransfer-Encoding: chunked\r\n\r\n" SELF_CHUNKED, ERR_PROTOCOL },
		{ "HTTP/1.1 404 No\r\nContent-Type: text/html\r\nContent-Length: 6\r\n\r\n<html>", ERR_PROTOCOL },
		{ "HTTP/1.1 404 No\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL },
		/* redirects are not followed, wherever they lead */
		{ "HTTP/1.1 302 Found\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 308 P\r\nLocation: https://evil.example/\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL },
		{ "HTTP/1.1 304 Not Modified\r\n\r\n", ERR_PROTOCOL },
		/* encodings that were not asked for */
		{ OK_HEAD "\r\nContent-Encoding: gzip\r\nContent-Length: 2\r\n\r\n{}", ERR_PROTOCOL },
		/* not HTTP */
		{ "SSH-2.0-OpenSSH\r\n", ERR_PROTOCOL },
		{ OK_HEAD "\r\nContent-Length: -5\r\n\r\n{}", ERR_PROTOCOL },
		/* a body that ends when the line does could have been cut anywhere */
		{ OK_HEAD "\r\n\r\n" SELF_JSON, ERR_PROTOCOL },
		/* JSON that is not the answer */
		{ OK_HEAD "\r\nContent-Length: 2\r\n\r\n{}", ERR_PROTOCOL },
		{ OK_HEAD "\r\nContent-Length: 4\r\n\r\nnull", ERR_PROTOCOL },
		{ OK_HEAD "\r\nContent-Length: 0\r\n\r\n", ERR_PROTOCOL },
		{ OK_HEAD "\r\nContent-Length: 13\r\n\r\n{\"device\":17}", ERR_PROTOCOL },
		/* proxies that speak for themselves */
		{ "HTTP/1.1 502 Bad\r\nContent-Type: text/html\r\nContent-Length: 1\r\n\r\n<", ERR_UNAVAILABLE },
		{ "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", ERR_TOO_MANY_REQUESTS },
		{ "HTTP/1.1 401 Who\r\nWWW-Authenticate: Basic\r\nContent-Length: 0\r\n\r\n", ERR_AUTH_REQUIRED },
		/* dray's own words */
		{ PROBLEM(404) "\r\nContent-Length: 20\r\n\r\n{\"code\":\"not_found\"}", ERR_NOT_FOUND },
		{ PROBLEM(401) "\r\nContent-Length: 24\r\n\r\n{\"code\":\"token_revoked\"}", ERR_TOKEN_REVOKED },
		{ PROBLEM(410) "\r\nContent-Length: 24\r\n\r\n{\"code\":\"epoch_changed\"}", ERR_EPOCH_CHANGED },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		err_code rc = self_given(rows[i].answer);
		if (rc != rows[i].code)
			fail_msg("row %zu: %s instead of %s (%s)", i, err_info(rc)->code, err_info(rows[i].code)->code, err.msg);
	}
}

static void
test_too_much(void **ctx)
{
	size_t len = 20 * MIB;
	char *big = arena_must(arena, len + 256); /* a connection may still be sending it when the test is over */
	size_t head = (size_t)snprintf(big, 256, OK_HEAD "\r\nContent-Length: %zu\r\n\r\n", len);

	(void)ctx;
	memset(big + head, ' ', len);
	assert_int_equal(self_given_n(big, head + len, 0), ERR_PROTOCOL);
	assert_non_null(strstr(err.msg, "larger than"));
	/* a header section without end */
	big = arena_must(arena, len);
	head = (size_t)snprintf(big, 256, "HTTP/1.1 200 OK\r\n");
	for (size_t i = 0; i < 4000; i++)
		head += (size_t)snprintf(big + head, 64, "X-%05zu: 0123456789012345678901234567\r\n", i);
	assert_int_equal(self_given_n(big, head, 0), ERR_PROTOCOL);
	assert_non_null(strstr(err.msg, "header section"));
}

/* A line that is cut anywhere inside an answer is a broken line, never an answer and never a protocol error. */
static void
test_cut_at_every_byte(void **ctx)
{
	const char *answer = answer_of(OK_HEAD, SELF_JSON);

	(void)ctx;
	for (size_t cut = 1; cut < strlen(answer); cut++) {
		err_code rc = self_given_n(answer, strlen(answer), cut);
		if (rc != ERR_NETWORK && !(cut < 5 && rc == ERR_PROTOCOL)) /* "HTT" is not HTTP yet */
			fail_msg("cut after %zu bytes: %s (%s)", cut, err_info(rc)->code, err.msg);
	}
	assert_int_equal(self_given(answer), ERR_OK);
}

/* ---- again ---------------------------------------------------------------------------------------------------------------------- */

static void
test_retry_after(void **ctx)
{
	struct remote *r = open_remote(10000);
	struct reply script[3] = { 0 };
	struct remote_stats stats;
	struct id id;
	int64_t start;
	char key[2][80];

	(void)ctx;
	script[0].p = PROBLEM(503) "\r\nRetry-After: 1\r\nContent-Length: 22\r\n\r\n{\"code\":\"unavailable\"}";
	script[1].p = OK_HEAD "\r\nContent-Le"; /* and the line breaks */
	script[2].p = answer_of("HTTP/1.1 201 Created\r\nContent-Type: application/json", "{\"id\":\"00112233445566778899aabbccddeeff\"}");
	for (size_t i = 0; i < 3; i++)
		script[i].len = strlen(script[i].p);
	hostile_script(&server, script, 3);
	start = clock_mono_ms();
	assert_int_equal(remote_transfer_create(r, "a", 1, &id, &err), ERR_OK);
	assert_in_range(clock_mono_ms() - start, 1000, 4000);
	remote_stats(r, &stats);
	assert_int_equal(stats.retries, 2);
	assert_int_equal(hostile_requests(&server), 3);
	/* the effect of all three can only be one: the key is the same, and is another one for the next call */
	for (size_t i = 0; i < 2; i++) {
		const char *k = strstr(server.seen[i * 2], "Idempotency-Key: ");
		assert_non_null(k);
		snprintf(key[i], sizeof key[i], "%.49s", k);
	}
	assert_string_equal(key[0], key[1]);
	hostile_script(&server, &script[2], 1);
	assert_int_equal(remote_transfer_create(r, "a", 1, &id, &err), ERR_OK);
	assert_null(strstr(server.seen[0], key[0]));
	remote_free(r);
}

static void
test_gives_up(void **ctx)
{
	struct remote *r = open_remote(700);
	struct reply reply = { .p = PROBLEM(503) "\r\nContent-Length: 22\r\n\r\n{\"code\":\"unavailable\"}" };
	struct remote_self self;
	int64_t start = clock_mono_ms();

	(void)ctx;
	reply.len = strlen(reply.p);
	hostile_script(&server, &reply, 1);
	assert_int_equal(remote_self(r, arena, &self, &err), ERR_UNAVAILABLE);
	assert_in_range(clock_mono_ms() - start, 0, 3000);
	assert_true(hostile_requests(&server) > 1);
	/* a Retry-After beyond our patience is not waited for */
	reply.p = PROBLEM(503) "\r\nRetry-After: 3600\r\nContent-Length: 22\r\n\r\n{\"code\":\"unavailable\"}";
	reply.len = strlen(reply.p);
	hostile_script(&server, &reply, 1);
	start = clock_mono_ms();
	assert_int_equal(remote_self(r, arena, &self, &err), ERR_UNAVAILABLE);
	assert_in_range(clock_mono_ms() - start, 0, 1000);
	assert_int_equal(hostile_requests(&server), 1);
	/* what will not change is not tried again, whatever its status */
	reply.p = PROBLEM(503) "\r\nContent-Length: 26\r\n\r\n{\"code\":\"store_read_only\"}";
	reply.len = strlen(reply.p);
	hostile_script(&server, &reply, 1);
	assert_int_equal(remote_self(r, arena, &self, &err), ERR_READ_ONLY);
	assert_int_equal(hostile_requests(&server), 1);
	remote_free(r);
}

static void
test_nobody_there(void **ctx)
{
	struct remote_opts opts = { .url = "http://127.0.0.1:1", .token = token, .retry_ms = 300 };
	struct remote *r;
	struct remote_self self;

	(void)ctx;
	assert_int_equal(remote_open(&opts, &r, &err), ERR_OK);
	assert_int_equal(remote_self(r, arena, &self, &err), ERR_NETWORK);
	remote_free(r);
}

/* What may be tried again and what may not, by the number of requests that were made of it. */
static void
test_what_is_tried_again(void **ctx)
{
	static const struct {
		const char *answer;
		err_code code;
		bool again;
	} rows[] = {
		{ PROBLEM(429) "\r\nRetry-After: 0\r\nContent-Length: 28\r\n\r\n{\"code\":\"too_many_requests\"}", ERR_TOO_MANY_REQUESTS, true },
		{ "HTTP/1.1 429 Slow\r\nContent-Length: 0\r\n\r\n", ERR_TOO_MANY_REQUESTS, true },
		{ PROBLEM(408) "\r\nContent-Length: 18\r\n\r\n{\"code\":\"timeout\"}", ERR_TIMEOUT, true },
		{ "HTTP/1.1 504 Late\r\nContent-Length: 0\r\n\r\n", ERR_UNAVAILABLE, true },
		{ OK_HEAD "\r\nContent-Length: 50\r\n\r\n{", ERR_NETWORK, true }, /* a line that breaks */
		/* full is full until somebody makes room: who syncs is told, and goes on at the next run */
		{ PROBLEM(507) "\r\nContent-Length: 20\r\n\r\n{\"code\":\"disk_full\"}", ERR_NO_SPACE, false },
		{ PROBLEM(429) "\r\nContent-Length: 27\r\n\r\n{\"code\":\"too_many_uploads\"}", ERR_TOO_MANY_UPLOADS, false },
		{ PROBLEM(500) "\r\nContent-Length: 19\r\n\r\n{\"code\":\"internal\"}", ERR_INTERNAL, false },
		{ PROBLEM(401) "\r\nContent-Length: 24\r\n\r\n{\"code\":\"token_revoked\"}", ERR_TOKEN_REVOKED, false },
		{ PROBLEM(403) "\r\nContent-Length: 20\r\n\r\n{\"code\":\"forbidden\"}", ERR_FORBIDDEN, false },
		{ PROBLEM(409) "\r\nContent-Length: 27\r\n\r\n{\"code\":\"version_conflict\"}", ERR_VERSION_CONFLICT, false },
		{ PROBLEM(422) "\r\nContent-Length: 24\r\n\r\n{\"code\":\"hash_mismatch\"}", ERR_HASH_MISMATCH, false },
	};
	struct remote_self self;

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct reply reply = { .p = rows[i].answer, .len = strlen(rows[i].answer) };
		struct remote *r = open_remote(400);
		err_code rc;

		hostile_script(&server, &reply, 1);
		rc = remote_self(r, arena, &self, &err);
		remote_free(r);
		if (rc != rows[i].code || (hostile_requests(&server) > 1) != rows[i].again)
			fail_msg("row %zu: %s after %u requests (%s)", i, err_info(rc)->code, hostile_requests(&server), err.msg);
	}
}

/* ---- a limited rate ----------------------------------------------------------------------------------------------------------- */

#define LIMITED_LEN (256 * KIB)

static struct remote *
open_limited(uint64_t rate)
{
	static char url[64];
	struct remote_opts opts = { .url = url, .token = token, .retry_ms = 1, .cancel = &cancel, .stall_s = 1, .rate = rate };
	struct remote *r = NULL;

	snprintf(url, sizeof url, "http://127.0.0.1:%u", server.port);
	cancel = false;
	assert_int_equal(remote_open(&opts, &r, &err), ERR_OK);
	return r;
}

/*
 * Both ways the bytes are whole and take their time, more of it than a line may stand still: waiting for our own rate is no stall.
 * The first tenth of a second's worth is free.
 */
static void
test_limited(void **ctx)
{
	struct remote *r = open_limited(LIMITED_LEN / 2);
	static uint8_t body[LIMITED_LEN], buf[CHUNK_LEN_MAX];
	struct reply reply = { .p = "HTTP/1.1 204 No\r\n\r\n", .len = 19 };
	struct id id = { 0 };
	struct hash chunk = hash_of("c", 1);
	char *answer = arena_must(arena, LIMITED_LEN + 256);
	size_t got = 0;
	int64_t start;

	(void)ctx;
	for (size_t i = 0; i < LIMITED_LEN; i++)
		body[i] = (uint8_t)(i * 7 + i / 251);
	hostile_script(&server, &reply, 1);
	start = clock_mono_ms();
	assert_int_equal(remote_chunk_put(r, &id, 0, body, LIMITED_LEN, &err), ERR_OK);
	assert_true(clock_mono_ms() - start >= 1700);
	reply.len = (size_t)snprintf(answer, 256, BYTES(200, "Content-Length: %zu\r\n\r\n"), (size_t)LIMITED_LEN);
	memcpy(answer + reply.len, body, LIMITED_LEN);
	reply.len += LIMITED_LEN;
	reply.p = answer;
	hostile_script(&server, &reply, 1);
	start = clock_mono_ms();
	assert_int_equal(remote_chunk_get_all(r, &chunk, buf, &got, &err), ERR_OK);
	assert_true(clock_mono_ms() - start >= 1700);
	assert_int_equal(got, LIMITED_LEN);
	assert_memory_equal(buf, body, LIMITED_LEN);
	remote_free(r);
}

/* Somebody who waits for his share can be called off, and so can one who waits for his turn. */
static void *
put_slowly(void *arg)
{
	static uint8_t body[LIMITED_LEN];
	struct id id = { 0 };
	struct err why;

	return (void *)(intptr_t)(remote_chunk_put(arg, &id, 0, body, LIMITED_LEN, &why) == ERR_CANCELLED);
}

static void
test_limited_cancel(void **ctx)
{
	struct remote *r = open_limited(32 * KIB);
	struct reply reply = { .p = "HTTP/1.1 204 No\r\n\r\n", .len = 19 };
	int64_t start = clock_mono_ms();
	pthread_t t[3];

	(void)ctx;
	hostile_script(&server, &reply, 1);
	for (size_t i = 0; i < ARRAY_LEN(t); i++)
		assert_int_equal(pthread_create(&t[i], NULL, put_slowly, r), 0);
	(void)cancel_soon(NULL);
	for (size_t i = 0; i < ARRAY_LEN(t); i++) {
		void *well;

		pthread_join(t[i], &well);
		assert_non_null(well);
	}
	assert_in_range(clock_mono_ms() - start, 200, 1500);
	remote_free(r);
}

/* ---- slow ----------------------------------------------------------------------------------------------------------------------- */

static void
cancelled_within_a_second(const struct reply *reply)
{
	struct remote *r = open_remote(60000);
	struct remote_self self;
	int64_t start = clock_mono_ms();
	pthread_t t;

	hostile_script(&server, reply, 1);
	assert_int_equal(pthread_create(&t, NULL, cancel_soon, NULL), 0);
	assert_int_equal(remote_self(r, arena, &self, &err), ERR_CANCELLED);
	assert_in_range(clock_mono_ms() - start, 200, 1500);
	pthread_join(t, NULL);
	remote_free(r);
}

static void
test_cancel(void **ctx)
{
	const char *answer = answer_of(OK_HEAD, SELF_JSON);
	const char *wait = PROBLEM(503) "\r\nRetry-After: 30\r\nContent-Length: 22\r\n\r\n{\"code\":\"unavailable\"}";

	(void)ctx;
	cancelled_within_a_second(&(struct reply){ .p = answer, .len = strlen(answer), .drip_ms = 50 });
	cancelled_within_a_second(&(struct reply){ .p = "", .silent = true });
	cancelled_within_a_second(&(struct reply){ .p = wait, .len = strlen(wait) });
}

static void
test_stall(void **ctx)
{
	struct remote *r = open_remote(1);
	struct reply reply = { .drip_ms = 100 };
	struct remote_self self;
	int64_t start = clock_mono_ms();

	(void)ctx;
	reply.p = answer_of(OK_HEAD, SELF_JSON);
	reply.len = strlen(reply.p);
	hostile_script(&server, &reply, 1);
	assert_int_equal(remote_self(r, arena, &self, &err), ERR_NETWORK);
	assert_in_range(clock_mono_ms() - start, 1000, 8000);
	remote_free(r);
}

/* ---- ranges --------------------------------------------------------------------------------------------------------------------- */

static err_code
range_given(const char *answer, uint64_t off, size_t len)
{
	struct reply reply = { .p = answer, .len = strlen(answer) };
	struct remote *r = open_remote(1);
	struct hash chunk = hash_of("c", 1);
	uint8_t buf[64];
	err_code rc;

	hostile_script(&server, &reply, 1);
	rc = remote_chunk_get(r, &chunk, off, buf, len, &err);
	if (rc == ERR_OK)
		assert_memory_equal(buf, "0123456789", len);
	remote_free(r);
	return rc;
}

static void
test_ranges(void **ctx)
{
	(void)ctx;
	assert_int_equal(range_given(BYTES(206, "Content-Range: bytes 5-14/100\r\n") "Content-Length: 10\r\n\r\n0123456789", 5, 10), ERR_OK);
	assert_non_null(strstr(server.seen[0], "Range: bytes=5-14\r\n"));
	/* other bytes than asked for, or not said which */
	assert_int_equal(range_given(BYTES(206, "Content-Range: bytes 6-15/100\r\n") "Content-Length: 10\r\n\r\n0123456789", 5, 10), ERR_PROTOCOL);
	assert_int_equal(range_given(BYTES(206, "") "Content-Length: 10\r\n\r\n0123456789", 5, 10), ERR_PROTOCOL);
	assert_int_equal(range_given(BYTES(206, "Content-Range: bytes 5-14/*\r\n") "Content-Length: 10\r\n\r\n0123456789", 5, 10), ERR_PROTOCOL);
	assert_int_equal(range_given(BYTES(200, "") "Content-Length: 10\r\n\r\n0123456789", 5, 10), ERR_PROTOCOL);
	/* fewer, more */
	assert_int_equal(range_given(BYTES(206, "Content-Range: bytes 5-9/10\r\n") "Content-Length: 5\r\n\r\n01234", 5, 10), ERR_PROTOCOL);
	assert_int_equal(range_given(BYTES(206, "Content-Range: bytes 5-15/100\r\n") "Content-Length: 11\r\n\r\n0123456789a", 5, 10), ERR_PROTOCOL);
	assert_int_equal(range_given(PROBLEM(404) "\r\nContent-Length: 20\r\n\r\n{\"code\":\"not_found\"}", 5, 10), ERR_NOT_FOUND);
}

/* ---- parts of a snapshot ----------------------------------------------------------------------------------------------------------------- */

#define LINES "HTTP/1.1 206 X\r\nContent-Type: application/x-ndjson\r\n"
#define ZSTD "Content-Encoding: zstd\r\n"
#define TAG(digit) "ETag: \"" digit "123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\r\n"
#define PART(first, last, total) "Content-Range: bytes " #first "-" #last "/" #total "\r\nContent-Length: 10\r\n\r\n0123456789"

/* Ten bytes from ${off} of a snapshot of 100; ${named}: of that with the tag "0123…", else of any. */
static err_code
part_given(const char *answer, uint64_t off, bool named)
{
	struct reply reply = { .p = answer, .len = strlen(answer) };
	struct remote *r = open_remote(1);
	struct hash object = { 0 };
	uint64_t total = 100;
	uint8_t buf[10];
	size_t got = 0;
	err_code rc;

	if (named)
		assert_true(hash_parse("0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef", 64, &object, NULL) == ERR_OK);
	hostile_script(&server, &reply, 1);
	rc = remote_snapshot_part(r, &object, off, buf, sizeof buf, &got, &total, &err);
	if (rc == ERR_OK) {
		assert_memory_equal(buf, "0123456789", 10);
		assert_int_equal(object.b[1], 0x23);
	}
	remote_free(r);
	return rc;
}

static void
test_snapshot(void **ctx)
{
	(void)ctx;
	assert_int_equal(part_given(LINES ZSTD TAG("0") PART(0, 9, 100), 0, false), ERR_OK);
	assert_non_null(strstr(server.seen[0], "Accept-Encoding: zstd\r\n"));
	assert_non_null(strstr(server.seen[0], "Accept: application/x-ndjson, application/problem+json\r\n"));
	assert_null(strstr(server.seen[0], "If-Match"));
	assert_int_equal(part_given(LINES ZSTD TAG("0") PART(10, 19, 100), 10, true), ERR_OK);
	assert_non_null(strstr(server.seen[0], "If-Match: \"0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef\"\r\n"));
	/* of another, or of who knows which; longer than it was; not all that there is */
	assert_int_equal(part_given(LINES ZSTD TAG("1") PART(10, 19, 100), 10, true), ERR_PROTOCOL);
	assert_int_equal(part_given(LINES ZSTD PART(10, 19, 100), 10, true), ERR_PROTOCOL);
	assert_int_equal(part_given(LINES ZSTD "ETag: W/\"0123\"\r\n" PART(0, 9, 100), 0, false), ERR_PROTOCOL);
	assert_int_equal(part_given(LINES ZSTD TAG("0") PART(10, 19, 101), 10, true), ERR_PROTOCOL);
	assert_int_equal(part_given(LINES ZSTD TAG("0") "Content-Range: bytes 10-14/100\r\nContent-Length: 5\r\n\r\n01234", 10, true), ERR_PROTOCOL);
	/* not packed, or in another way */
	assert_int_equal(part_given(LINES TAG("0") PART(0, 9, 100), 0, false), ERR_PROTOCOL);
	assert_int_equal(part_given(LINES "Content-Encoding: gzip\r\n" TAG("0") PART(0, 9, 100), 0, false), ERR_PROTOCOL);
	assert_int_equal(part_given(PROBLEM(412) "\r\nContent-Length: 30\r\n\r\n{\"code\":\"precondition_failed\"}", 10, true), ERR_PRECONDITION_FAILED);
}

/* ---- block lists ----------------------------------------------------------------------------------------------------------------------- */

static err_code
extents_given(const char *answer, size_t *len, bool *more)
{
	struct reply reply = { .p = answer, .len = strlen(answer) };
	struct remote *r = open_remote(1);
	const uint8_t *packed;
	struct id file = { { 1 } };
	err_code rc;

	hostile_script(&server, &reply, 1);
	rc = remote_extents(r, &file, 128, arena, &packed, len, more, &err);
	if (rc == ERR_OK)
		assert_memory_equal(packed, "0123456789", *len);
	remote_free(r);
	return rc;
}

static void
test_extents(void **ctx)
{
	size_t len = 0;
	bool more = false;

	(void)ctx;
	assert_int_equal(extents_given(BYTES(200, "Dray-More: true\r\n") "Content-Length: 10\r\n\r\n0123456789", &len, &more), ERR_OK);
	assert_int_equal(len, 10);
	assert_true(more);
	assert_non_null(strstr(server.seen[0], "/blocks?from=128&count=2048&form=extents HTTP/1.1\r\n"));
	/* a server that does not have the form */
	assert_int_equal(extents_given(PROBLEM(400) "\r\nContent-Length: 24\r\n\r\n{\"code\":\"unknown_field\"}", &len, &more), ERR_UNKNOWN_FIELD);
}

/* ---- blocks of several chunks ------------------------------------------------------------------------------------------------------ */

static err_code
fetch_given(const char *answer, size_t n, size_t *len)
{
	struct reply reply = { .p = answer, .len = strlen(answer) };
	uint8_t *buf = arena_must(arena, CHUNK_LEN_MAX);
	struct remote *r = open_remote(1);
	struct wire_extent *runs = arena_must(arena, n * sizeof *runs);
	struct remote_stats stats;
	err_code rc;

	for (size_t i = 0; i < n; i++)
		runs[i] = (struct wire_extent){ .chunk = { { (uint8_t)i } }, .first = 1000, .count = 1 };
	hostile_script(&server, &reply, 1);
	rc = remote_blocks_fetch(r, runs, n, buf, len, &err);
	if (rc == ERR_OK)
		assert_memory_equal(buf, "0123456789", *len);
	remote_stats(r, &stats);
	if (stats.requests == 1 && n < 10)
		assert_int_equal(stats.bytes_up, strlen(server.seen[0])); /* each byte once, head and body */
	remote_free(r);
	return rc;
}

static void
test_blocks_fetch(void **ctx)
{
	size_t len = 0;

	(void)ctx;
	assert_int_equal(fetch_given(BYTES(200, "") "Content-Length: 10\r\n\r\n0123456789", 2, &len), ERR_OK);
	assert_int_equal(len, 10);
	assert_non_null(strstr(server.seen[0], "POST /projects/"));
	assert_non_null(strstr(server.seen[0], "/blocks/fetch HTTP/1.1\r\n"));
	assert_non_null(strstr(server.seen[0], "{\"extents\":[{\"chunk\":\"00000000"));
	assert_non_null(strstr(server.seen[0], "\"first\":1000,\"count\":1}]}"));
	assert_int_equal(fetch_given(BYTES(200, "") "Content-Length: 10\r\n\r\n0123456789", BLOCKS_FETCH_MAX, &len), ERR_OK);
	/* a server without the call, one that does not take the question, and something that is no dray server */
	assert_int_equal(fetch_given(PROBLEM(404) "\r\nContent-Length: 20\r\n\r\n{\"code\":\"not_found\"}", 1, &len), ERR_NOT_FOUND);
	assert_int_equal(fetch_given(PROBLEM(405) "\r\nContent-Length: 29\r\n\r\n{\"code\":\"method_not_allowed\"}", 1, &len),
	    ERR_METHOD_NOT_ALLOWED);
	assert_int_equal(fetch_given(PROBLEM(400) "\r\nContent-Length: 22\r\n\r\n{\"code\":\"field_range\"}", 1, &len), ERR_FIELD_RANGE);
	assert_int_equal(fetch_given("HTTP/1.1 404 X\r\nContent-Length: 4\r\n\r\nnope", 1, &len), ERR_PROTOCOL);
	assert_int_equal(fetch_given("HTTP/1.1 200 X\r\nContent-Type: text/html\r\nContent-Length: 4\r\n\r\nnope", 1, &len), ERR_PROTOCOL);
	/* more than any container has */
	assert_int_equal(fetch_given(BYTES(200, "") "Content-Length: 99999999\r\n\r\n0123456789", 1, &len), ERR_NETWORK);
}

/* ---- an upload under way ---------------------------------------------------------------------------------------------------------- */

#define H "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcde"

static err_code
transfer_given(const char *json, uint32_t from, struct remote_transfer *out)
{
	struct reply reply = { .p = answer_of(OK_HEAD, json) };
	struct remote *r = open_remote(1);
	struct id id = { .b = { 7 } };
	err_code rc;

	reply.len = strlen(reply.p);
	hostile_script(&server, &reply, 1);
	rc = remote_transfer_get(r, &id, from, arena, out, &err);
	remote_free(r);
	return rc;
}

static void
test_transfer(void **ctx)
{
	static const char *const wrong[] = {
		"{}", "[]", "{\"state\":\"open\",\"has_more\":false}", "{\"state\":\"open\",\"chunks\":[]}",
		"{\"state\":7,\"has_more\":false,\"chunks\":[]}", "{\"state\":\"open\",\"has_more\":false,\"chunks\":[7]}",
		"{\"state\":\"open\",\"has_more\":false,\"chunks\":[{\"n\":-1,\"chunk\":\"" H "0\"}]}",
		"{\"state\":\"open\",\"has_more\":false,\"chunks\":[{\"n\":4,\"chunk\":\"" H "\"}]}",
		"{\"state\":\"open\",\"has_more\":false,\"chunks\":[{\"n\":4294967296,\"chunk\":\"" H "0\"}]}",
		/* goes on with nothing; before what was asked for; twice; backwards */
		"{\"state\":\"open\",\"has_more\":true,\"chunks\":[]}",
		"{\"state\":\"open\",\"has_more\":false,\"chunks\":[{\"n\":2,\"chunk\":\"" H "0\"}]}",
		"{\"state\":\"open\",\"has_more\":false,\"chunks\":[{\"n\":4,\"chunk\":\"" H "0\"},{\"n\":4,\"chunk\":\"" H "1\"}]}",
		"{\"state\":\"open\",\"has_more\":false,\"chunks\":[{\"n\":5,\"chunk\":\"" H "0\"},{\"n\":4,\"chunk\":\"" H "1\"}]}",
	};
	struct remote_transfer t;

	(void)ctx;
	assert_int_equal(transfer_given("{\"state\":\"open\",\"has_more\":true,\"new\":1,\"chunks\":[{\"n\":3,\"chunk\":\"" H "0\"},"
	                                "{\"n\":9,\"chunk\":\"" H "1\"}]}", 3, &t), ERR_OK);
	assert_true(t.open && t.more && t.n == 2 && t.chunks[1].n == 9 && t.chunks[1].chunk.b[31] == 0xe1);
	assert_non_null(strstr(server.seen[0], "/transfers/07000000000000000000000000000000?from=3&limit=1000 HTTP/1.1\r\n"));
	assert_int_equal(transfer_given("{\"state\":\"expired\",\"has_more\":false,\"chunks\":[]}", 0, &t), ERR_OK);
	assert_true(!t.open && !t.more && t.n == 0);
	for (size_t i = 0; i < ARRAY_LEN(wrong); i++)
		if (transfer_given(wrong[i], 3, &t) != ERR_PROTOCOL)
			fail_msg("taken for good: %s", wrong[i]);
}

/* ---- addresses -------------------------------------------------------------------------------------------------------------------- */

static void
test_addresses(void **ctx)
{
	static const struct {
		const char *url;
		err_code code;
		bool allow_http;
	} rows[] = {
		{ "http://127.0.0.1:80", ERR_OK, false }, { "http://localhost", ERR_OK, false }, { "http://[::1]:1", ERR_OK, false },
		{ "https://example.org", ERR_OK, false }, { "https://example.org/dray", ERR_OK, false },
		{ "http://example.org", ERR_TLS_REQUIRED, false }, { "http://example.org", ERR_OK, true },
		{ "http://127.0.0.1.example.org", ERR_TLS_REQUIRED, false }, { "http://localhost.example.org", ERR_TLS_REQUIRED, false },
		{ "https://user:secret@example.org", ERR_USAGE, false }, { "https://example.org/?a=b", ERR_USAGE, false },
		{ "https://example.org/", ERR_USAGE, false }, { "ftp://example.org", ERR_USAGE, false }, { "file:///etc/passwd", ERR_USAGE, false },
		{ "example.org", ERR_USAGE, false }, { "", ERR_USAGE, false }, { "https://", ERR_USAGE, false },
	};

	(void)ctx;
	for (size_t i = 0; i < ARRAY_LEN(rows); i++) {
		struct remote_opts opts = { .url = rows[i].url, .token = token, .allow_http = rows[i].allow_http };
		struct remote *r = NULL;
		err_code rc = remote_open(&opts, &r, &err);

		if (rc != rows[i].code)
			fail_msg("%s: %s", rows[i].url, err_info(rc)->code);
		remote_free(r);
	}
	assert_int_equal(remote_open(&(struct remote_opts){ .url = "https://h", .token = "a\r\nb" }, &(struct remote *){ NULL }, &err),
	    ERR_TOKEN_INVALID);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(test_good),
		cmocka_unit_test(test_chunked_is_framed),
		cmocka_unit_test(test_not_dray),
		cmocka_unit_test(test_too_much),
		cmocka_unit_test(test_cut_at_every_byte),
		cmocka_unit_test(test_retry_after),
		cmocka_unit_test(test_gives_up),
		cmocka_unit_test(test_nobody_there),
		cmocka_unit_test(test_what_is_tried_again),
		cmocka_unit_test(test_limited),
		cmocka_unit_test(test_limited_cancel),
		cmocka_unit_test(test_cancel),
		cmocka_unit_test(test_stall),
		cmocka_unit_test(test_ranges),
		cmocka_unit_test(test_snapshot),
		cmocka_unit_test(test_extents),
		cmocka_unit_test(test_blocks_fetch),
		cmocka_unit_test(test_transfer),
		cmocka_unit_test(test_addresses),
	};

	return cmocka_run_group_tests(tests, group_setup, group_teardown);
}
