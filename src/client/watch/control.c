/*
 * The path of a socket has room for 107 bytes, a folder's for 4,096: both ends go by /proc/self/fd/N, as pathat_chmod does.
 */
#include "client/watch/control.h"

#include <assert.h>
#include <errno.h>
#include <string.h>
#include <sys/file.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/jw.h"
#include "base/limits.h"
#include "base/pathat.h"
#include "wire/json_in.h"

#define SOCKET "agent.sock"
#define LOCK "agent.lock"
#define ASK_MS 3000 /* an agent answers from memory */

struct peer {
	int fd;            /* -1: free */
	int64_t until_ms;
	struct sbuf in, out;
	size_t sent;
	bool last;         /* cut off when all has been sent */
};

struct control {
	int dot, lock, fd;
	bool (*answer)(void *ctx, const char *ask, struct sbuf *out);
	void *ctx;
	struct peer peers[CONTROL_CLIENTS_MAX];
};

static_assert(CONTROL_POLL_MAX == CONTROL_CLIENTS_MAX + 1);

static struct sockaddr_un
address(int dot)
{
	struct sockaddr_un at = { .sun_family = AF_UNIX };

	snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/" SOCKET, dot);
	return at;
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

static err_code
take_lock(struct control *c, struct err *err)
{
	err_code rc = pathat_open(c->dot, LOCK, O_RDWR | O_CREAT, 0600, &c->lock, err);

	if (rc)
		return rc;
	if (flock(c->lock, LOCK_EX | LOCK_NB) == 0)
		return ERR_OK;
	if (errno == EWOULDBLOCK)
		return err_set(err, ERR_ROOT_IN_USE, "another dray watch is on this folder");
	return err_errno(err, "lock .dray/" LOCK);
}

/* Whoever listened here before is gone, since we have the lock. */
static err_code
listen_here(struct control *c, struct err *err)
{
	struct sockaddr_un at = address(c->dot);

	if (unlinkat(c->dot, SOCKET, 0) < 0 && errno != ENOENT)
		return err_errno(err, "remove the socket of another agent");
	c->fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
	if (c->fd < 0 || bind(c->fd, (const struct sockaddr *)&at, sizeof at) < 0 || chmod(at.sun_path, 0600) < 0 ||
	    listen(c->fd, CONTROL_CLIENTS_MAX) < 0)
		return err_errno(err, "listen on .dray/" SOCKET);
	return ERR_OK;
}

err_code
control_open(int dot, bool (*answer)(void *ctx, const char *ask, struct sbuf *out), void *ctx, struct control **out, struct err *err)
{
	struct control *c = xcalloc(1, sizeof *c);
	err_code rc;

	c->dot = dot;
	c->lock = c->fd = -1;
	c->answer = answer;
	c->ctx = ctx;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		c->peers[i].fd = -1;
	rc = take_lock(c, err);
	if (rc == ERR_OK)
		rc = listen_here(c, err);
	if (rc) {
		control_free(c);
		return rc;
	}
	*out = c;
	return ERR_OK;
}

static void
cut_off(struct peer *p)
{
	closep(&p->fd);
	p->fd = -1;
	sbuf_fini(&p->in);
	sbuf_fini(&p->out);
	p->sent = 0;
	p->last = false;
}

void
control_free(struct control *c)
{
	if (!c)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->peers[i].fd >= 0)
			cut_off(&c->peers[i]);
	if (c->fd >= 0)
		unlinkat(c->dot, SOCKET, 0);
	closep(&c->fd);
	closep(&c->lock);
	free(c);
}

/* ---- peers -------------------------------------------------------------------------------------------------------------------- */

static void
let_in(struct control *c, int64_t now_ms)
{
	int fd = accept4(c->fd, NULL, NULL, SOCK_CLOEXEC | SOCK_NONBLOCK);

	if (fd < 0)
		return;
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct peer *p = &c->peers[i];
		if (p->fd >= 0)
			continue;
		*p = (struct peer){ .fd = fd, .until_ms = now_ms + CONTROL_IDLE_MS, .in = SBUF(CONTROL_LINE_MAX), .out = SBUF(CONTROL_ANSWER_MAX) };
		return;
	}
	close(fd); /* control_poll does not ask for more than there is room for */
}

static void
say_error(struct peer *p, const char *what)
{
	struct jw jw = JW(&p->out);

	jw_object(&jw);
	jw_kstr(&jw, "error", what);
	jw_end_object(&jw);
	p->last = true;
}

static void
answer_line(struct control *c, struct peer *p, const char *line, size_t len)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct json_in in;
	struct err err;
	const char *ask;
	err_code rc = json_in_parse((const uint8_t *)line, len, &doc, &err);

	if (rc == ERR_OK)
		rc = json_in_object(doc, "", false, &in, &err);
	if (rc == ERR_OK)
		rc = json_need_str(&in, "ask", &ask, NULL, &err);
	if (rc == ERR_OK)
		rc = json_in_end(&in, &err);
	if (rc)
		say_error(p, err.msg);
	else if (!c->answer(c->ctx, ask, &p->out))
		say_error(p, "there is no such word: status, pause, resume, sync");
	sbuf_addc(&p->out, '\n');
	p->last |= p->out.failed;
}

/* Lines that have come whole. */
static void
answer_lines(struct control *c, struct peer *p)
{
	const char *end;
	size_t at = 0;

	while (!p->last && (end = memchr(sbuf_str(&p->in) + at, '\n', p->in.len - at))) {
		size_t len = (size_t)(end - sbuf_str(&p->in)) - at;

		answer_line(c, p, sbuf_str(&p->in) + at, len);
		at += len + 1;
	}
	if (at) {
		memmove(p->in.s, p->in.s + at, p->in.len - at);
		p->in.len -= at;
		p->in.s[p->in.len] = '\0';
	}
}

static bool
read_some(struct control *c, struct peer *p, int64_t now_ms)
{
	char buf[CONTROL_LINE_MAX];
	ssize_t got = recv(p->fd, buf, sizeof buf, 0);

	if (got == 0 || (got < 0 && errno != EAGAIN && errno != EINTR))
		return false;
	if (got < 0)
		return true;
	sbuf_addn(&p->in, buf, (size_t)got);
	if (p->in.failed) {
		say_error(p, "a line is too long");
		sbuf_addc(&p->out, '\n');
		return true;
	}
	p->until_ms = now_ms + CONTROL_IDLE_MS;
	answer_lines(c, p);
	return true;
}

static bool
send_some(struct peer *p, int64_t now_ms)
{
	while (p->sent < p->out.len) {
		ssize_t n = send(p->fd, p->out.s + p->sent, p->out.len - p->sent, MSG_NOSIGNAL);

		if (n < 0)
			return errno == EAGAIN || errno == EINTR;
		p->sent += (size_t)n;
		p->until_ms = now_ms + CONTROL_IDLE_MS;
	}
	sbuf_reset(&p->out);
	p->sent = 0;
	return !p->last;
}

/* ---- the agent's loop ----------------------------------------------------------------------------------------------------------- */

/* What has not been taken is sent before more is read, so a peer costs one answer. */
size_t
control_poll(const struct control *c, struct pollfd *fds)
{
	size_t n = 0;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->peers[i].fd >= 0)
			fds[n++] = (struct pollfd){ .fd = c->peers[i].fd, .events = c->peers[i].out.len ? POLLOUT : POLLIN };
	if (n < CONTROL_CLIENTS_MAX)
		fds[n++] = (struct pollfd){ .fd = c->fd, .events = POLLIN };
	return n;
}

static struct peer *
peer_of(struct control *c, int fd)
{
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->peers[i].fd == fd)
			return &c->peers[i];
	return NULL;
}

void
control_serve(struct control *c, const struct pollfd *fds, size_t n, int64_t now_ms)
{
	for (size_t i = 0; i < n; i++) {
		struct peer *p = peer_of(c, fds[i].fd);
		bool stays = true;

		if (!fds[i].revents)
			continue;
		if (!p) {
			let_in(c, now_ms);
			continue;
		}
		if (p->out.len == 0)
			stays = read_some(c, p, now_ms);
		if (stays && p->out.len)
			stays = send_some(p, now_ms);
		if (!stays)
			cut_off(p);
	}
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		if (c->peers[i].fd >= 0 && c->peers[i].until_ms <= now_ms)
			cut_off(&c->peers[i]);
}

int64_t
control_wait_ms(const struct control *c, int64_t now_ms)
{
	int64_t wait = -1;

	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		int64_t left = MAX(c->peers[i].until_ms - now_ms, 0);
		if (c->peers[i].fd >= 0 && (wait < 0 || left < wait))
			wait = left;
	}
	return wait;
}

/* ---- the other end ------------------------------------------------------------------------------------------------------------ */

static err_code
reach(const char *folder, int *fd, struct err *err)
{
	AUTO(closep) int root = open(folder, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	AUTO(closep) int dot = -1;
	struct sockaddr_un at;
	struct timeval patience = { .tv_sec = ASK_MS / 1000 };
	err_code rc;

	*fd = -1;
	if (root < 0)
		return err_errno(err, "%s", folder);
	rc = pathat_open(root, ".dray", O_RDONLY | O_DIRECTORY, 0, &dot, err);
	if (rc)
		return rc;
	at = address(dot);
	*fd = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (*fd < 0)
		return err_errno(err, "socket");
	(void)setsockopt(*fd, SOL_SOCKET, SO_RCVTIMEO, &patience, sizeof patience);
	(void)setsockopt(*fd, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof patience);
	if (connect(*fd, (const struct sockaddr *)&at, sizeof at) == 0)
		return ERR_OK;
	if (errno == ENOENT || errno == ECONNREFUSED)
		return err_set(err, ERR_NOT_FOUND, "no dray watch runs on %s", folder);
	if (errno == EAGAIN)
		return err_set(err, ERR_NETWORK, "the agent on %s does not answer", folder);
	return err_errno(err, "connect to the agent on %s", folder);
}

err_code
control_ask(const char *folder, const char *ask, struct sbuf *answer, struct err *err)
{
	AUTO(closep) int fd = -1;
	char buf[4096];
	int64_t until = clock_mono_ms() + ASK_MS;
	int n = snprintf(buf, sizeof buf, "{\"ask\":\"%s\"}\n", ask);
	err_code rc = reach(folder, &fd, err);

	if (rc)
		return rc;
	if (send(fd, buf, (size_t)n, MSG_NOSIGNAL) != n)
		return err_set(err, ERR_NETWORK, "the agent on %s does not listen", folder);
	while (!answer->failed && clock_mono_ms() < until) {
		ssize_t got = recv(fd, buf, sizeof buf, 0);

		if (got <= 0)
			break;
		sbuf_addn(answer, buf, (size_t)got);
		if (buf[got - 1] == '\n' && !answer->failed) {
			answer->s[--answer->len] = '\0';
			return ERR_OK;
		}
	}
	return err_set(err, ERR_NETWORK, "the agent on %s does not answer", folder);
}
