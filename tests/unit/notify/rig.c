#include "rig.h"

#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"

#define PATIENCE_MS 60000 /* of a test with a hub */
#define PAGE 7 /* changes of one message */

struct app app;

static err_code
source_open(void *ctx, const struct id *device, const struct id *project, const struct cursor *since, struct notify_at *at,
    struct err *err)
{
	(void)ctx;
	if (!id_eq(device, &app.device) && !app.any_device)
		return err_set(err, ERR_UNAVAILABLE, "of a hub that a test which failed has left behind");
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

static err_code
source_place(void *ctx, const struct id *project, const struct id *device, struct cursor *at, struct err *err)
{
	(void)ctx;
	(void)project;
	(void)device;
	if (app.place == 0)
		return err_set(err, ERR_NOT_FOUND, "no place yet");
	*at = (struct cursor){ .clock = app.place, .epoch = app.epoch, .has_epoch = true };
	return ERR_OK;
}

int64_t
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

void
release(void *fd)
{
	close((int)(intptr_t)fd);
	atomic_fetch_add(&app.released, 1);
}

int
join_as(struct notify *hub, const struct id *device, enum notify_kind kind, bool subscribed)
{
	const struct wire_ask ask = { .project = app.project };
	int fds[2];

	assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, fds), 0);
	assert_int_equal(notify_enter(hub, device, NULL), ERR_OK);
	notify_add(hub, &(struct notify_conn){
		.kind = kind,
		.fd = fds[1],
		.release = release,
		.release_ctx = (void *)(intptr_t)fds[1],
		.head = "",
		.device = *device,
		.asks = &ask,
		.ask_count = subscribed,
	});
	return fds[0];
}

int
join(struct notify *hub, bool subscribed)
{
	return join_as(hub, &app.device, NOTIFY_WEBSOCKET, subscribed);
}

int
patience(void)
{
	int64_t left = app.deadline_ms - clock_mono_ms();

	if (left <= 0)
		fail_msg("waited in vain");
	return (int)left;
}

static bool
read_full_or_end(int fd, uint8_t *p, size_t len)
{
	for (size_t got = 0; got < len;) {
		struct pollfd pfd = { .fd = fd, .events = POLLIN };
		ssize_t n;

		if (poll(&pfd, 1, patience()) != 1)
			continue;
		n = read(fd, p + got, len - got);
		if (n <= 0)
			return false;
		got += (size_t)n;
	}
	return true;
}

int
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

unsigned
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

bool
wait_for_text(int fd, const char *want, char *text, size_t cap)
{
	size_t len;
	int opcode;

	while ((opcode = next_frame(fd, text, cap, &len)) >= 0)
		if (opcode == WS_OP_TEXT && strstr(text, want))
			return true;
	return false;
}

void
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

/* A deliberate fault that is to be waited for in vain is waited for more shortly. */
static int64_t
patience_of_a_test(void)
{
	const char *s = getenv("DRAY_TEST_PATIENCE_MS");
	uint64_t ms;

	return s && parse_u64(s, strlen(s), INT32_MAX, &ms) ? (int64_t)ms : PATIENCE_MS;
}

struct notify *
open_hub(struct notify_opts opts)
{
	struct notify *hub;
	struct err err;

	app.project = id_new();
	app.epoch = id_new();
	app.device = id_new();
	app.clock = 1000;
	app.deadline_ms = clock_mono_ms() + patience_of_a_test();
	app.place = 0;
	app.any_device = false;
	atomic_store(&app.revoked, false);
	atomic_store(&app.broken, false);
	atomic_store(&app.released, 0);
	opts.source = (struct notify_source){ .open = source_open, .read = source_read, .place = source_place };
	assert_int_equal(notify_open(&opts, &hub, &err), ERR_OK);
	return hub;
}

int
join_and_hear(struct notify *hub)
{
	int fd = join(hub, true);
	char text[8192];

	assert_true(wait_for_text(fd, "\"hello\"", text, sizeof text));
	return fd;
}
