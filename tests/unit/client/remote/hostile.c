#include "hostile.h"

#include <errno.h>
#include <netinet/in.h>
#include <netinet/tcp.h>
#include <poll.h>
#include <sys/socket.h>
#include <unistd.h>

static bool
stopped(struct hostile *h)
{
	bool stop;

	mutex_lock(&h->mu);
	stop = h->stop;
	mutex_unlock(&h->mu);
	return stop;
}

/* Wait for bytes; false when the server is to stop. */
static bool
readable(struct hostile *h, int fd)
{
	struct pollfd p = { .fd = fd, .events = POLLIN };

	while (!stopped(h))
		if (poll(&p, 1, 20) > 0)
			return true;
	return false;
}

/* A whole request, as far as Content-Length says; its beginning into ${head}.  False when there was none. */
static bool
read_request(struct hostile *h, int fd, char head[static 16 * KIB])
{
	size_t len = 0, body = 0, want = 0;
	char *end = NULL;
	char drop[64 * KIB];

	while (!end) {
		ssize_t got;

		if (!readable(h, fd) || len + 1 >= 16 * KIB)
			return false;
		got = recv(fd, head + len, 16 * KIB - 1 - len, 0);
		if (got <= 0)
			return false;
		len += (size_t)got;
		head[len] = '\0';
		end = strstr(head, "\r\n\r\n");
	}
	body = len - (size_t)(end + 4 - head);
	end = strcasestr(head, "content-length: ");
	if (end)
		want = strtoul(end + 16, NULL, 10);
	while (body < want) {
		ssize_t got;

		if (!readable(h, fd))
			return false;
		got = recv(fd, drop, MIN(sizeof drop, want - body), 0);
		if (got <= 0)
			return false;
		body += (size_t)got;
		if (len + (size_t)got < 16 * KIB) {
			memcpy(head + len, drop, (size_t)got);
			len += (size_t)got;
			head[len] = '\0';
		}
	}
	return true;
}

static void
say(struct hostile *h, int fd, const struct reply *r)
{
	const char *p = r->p;
	size_t len = r->cut ? r->cut : r->len;

	for (size_t i = 0; i < len && !stopped(h);) {
		ssize_t n = send(fd, p + i, r->drip_ms ? 1 : len - i, MSG_NOSIGNAL);
		if (n <= 0)
			return;
		i += (size_t)n;
		if (r->drip_ms)
			usleep(r->drip_ms * 1000);
	}
	if (r->silent)
		(void)readable(h, fd);
}

static bool
serve_one(struct hostile *h, int fd)
{
	char head[16 * KIB];
	struct reply r;

	if (!read_request(h, fd, head))
		return false;
	mutex_lock(&h->mu);
	if (h->requests < ARRAY_LEN(h->seen))
		memcpy(h->seen[h->requests], head, sizeof head);
	h->requests++;
	r = h->script[h->next];
	if (h->next + 1 < h->script_len)
		h->next++;
	mutex_unlock(&h->mu);
	say(h, fd, &r);
	return r.keep;
}

static void *
serve_connection(void *arg)
{
	struct hostile *h = ((void **)arg)[0];
	int fd = (int)(intptr_t)((void **)arg)[1];

	free(arg);
	while (serve_one(h, fd))
		;
	shutdown(fd, SHUT_WR);
	close(fd);
	return NULL;
}

static void *
serve(void *arg)
{
	struct hostile *h = arg;
	pthread_t threads[1024];
	size_t n = 0;

	while (readable(h, h->listener) && n < ARRAY_LEN(threads)) {
		int one = 1, fd = accept4(h->listener, NULL, NULL, SOCK_CLOEXEC);
		void **pair;

		if (fd < 0)
			continue;
		setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &one, sizeof one);
		pair = xcalloc(2, sizeof *pair);
		pair[0] = h;
		pair[1] = (void *)(intptr_t)fd;
		if (pthread_create(&threads[n], NULL, serve_connection, pair) == 0)
			n++;
	}
	for (size_t i = 0; i < n; i++)
		pthread_join(threads[i], NULL);
	return NULL;
}

void
hostile_start(struct hostile *h)
{
	struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof a;

	memset(h, 0, sizeof *h);
	mutex_init(&h->mu, RANK_LEAF);
	h->listener = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
	if (bind(h->listener, (struct sockaddr *)&a, sizeof a) || listen(h->listener, 64) ||
	    getsockname(h->listener, (struct sockaddr *)&a, &len) || pthread_create(&h->thread, NULL, serve, h))
		abort();
	h->port = ntohs(a.sin_port);
}

void
hostile_stop(struct hostile *h)
{
	mutex_lock(&h->mu);
	h->stop = true;
	mutex_unlock(&h->mu);
	pthread_join(h->thread, NULL);
	close(h->listener);
	mutex_fini(&h->mu);
}

void
hostile_script(struct hostile *h, const struct reply *replies, size_t n)
{
	mutex_lock(&h->mu);
	memcpy(h->script, replies, n * sizeof *replies);
	h->script_len = n;
	h->next = 0;
	h->requests = 0;
	mutex_unlock(&h->mu);
}

unsigned
hostile_requests(struct hostile *h)
{
	unsigned n;

	mutex_lock(&h->mu);
	n = h->requests;
	mutex_unlock(&h->mu);
	return n;
}
