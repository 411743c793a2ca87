/*
 * Very many readers of one project's event stream, in one thread.
 *
 *   subscribers HOST PORT PROJECT TOKENS N SILENT
 *
 * Opens N streams (text/event-stream), each of the next token in the file TOKENS; of every 100, SILENT read no more once they have said hello.
 * Says "ready" when all have.  Then, for each line on standard input, waits until each of the others has had one change more, and says
 * when that was, in nanoseconds of CLOCK_MONOTONIC.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <time.h>
#include <unistd.h>

#define EVENTS 512
#define SILENT_BUFFER 4096

static const char hello[] = "\nevent: hello\n", change[] = "\nevent: change\n";

struct stream {
	int fd;
	bool silent;
	unsigned in_hello, in_change; /* characters of the word that have come */
	unsigned hellos, changes;
};

static int epoll_fd;

static void
fail(const char *what)
{
	fprintf(stderr, "subscribers: %s: %s\n", what, strerror(errno));
	exit(1);
}

static unsigned
match(const char *word, unsigned at, char c)
{
	if (word[at] == c)
		return at + 1;
	return c == '\n'; /* the first character, and nowhere else in a word but at its end */
}

static void
see(struct stream *s, const char *p, size_t len)
{
	for (size_t i = 0; i < len; i++) {
		s->in_hello = match(hello, s->in_hello, p[i]);
		s->in_change = match(change, s->in_change, p[i]);
		if (s->in_hello == sizeof hello - 1) {
			s->hellos++;
			s->in_hello = 1;
		}
		if (s->in_change == sizeof change - 1) {
			s->changes++;
			s->in_change = 1;
		}
	}
}

static void
open_stream(struct stream *s, const struct sockaddr_in *to, const char *project, const char *token)
{
	const int buffer = SILENT_BUFFER;
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = s };
	char head[1024];
	int len = snprintf(head, sizeof head,
	    "GET /projects/%s/events HTTP/1.1\r\nHost: localhost\r\nAccept: text/event-stream\r\nAuthorization: Bearer %s\r\n\r\n", project, token);

	s->fd = socket(AF_INET, SOCK_STREAM, 0);
	if (s->fd < 0)
		fail("socket");
	if (s->silent)
		setsockopt(s->fd, SOL_SOCKET, SO_RCVBUF, &buffer, sizeof buffer);
	if (connect(s->fd, (const struct sockaddr *)to, sizeof *to))
		fail("connect");
	if (send(s->fd, head, (size_t)len, 0) != len)
		fail("send");
	if (epoll_ctl(epoll_fd, EPOLL_CTL_ADD, s->fd, &ev))
		fail("epoll_ctl");
}

/* One turn; what it brought each stream is in ${seen} of all. */
static void
turn(void (*seen)(struct stream *s))
{
	static char buf[256 * 1024];
	struct epoll_event events[EVENTS];
	int n = epoll_wait(epoll_fd, events, EVENTS, 30000);

	if (n == 0) {
		fprintf(stderr, "subscribers: nothing comes\n");
		exit(1);
	}
	for (int i = 0; i < n; i++) {
		struct stream *s = events[i].data.ptr;
		ssize_t got = recv(s->fd, buf, sizeof buf, MSG_DONTWAIT);

		if (got < 0 && errno == EAGAIN)
			continue;
		if (got <= 0)
			fail("a stream ended");
		see(s, buf, (size_t)got);
		seen(s);
	}
}

static unsigned ready, told, expected;

static void
seen_hello(struct stream *s)
{
	if (s->hellos != 1)
		return;
	s->hellos++;
	ready++;
	if (s->silent && epoll_ctl(epoll_fd, EPOLL_CTL_DEL, s->fd, NULL))
		fail("epoll_ctl");
}

static void
seen_change(struct stream *s)
{
	if (s->changes < expected)
		return;
	if (s->changes > expected) {
		fprintf(stderr, "subscribers: a change too many\n");
		exit(1);
	}
	told++;
}

static void
wait_for_change(unsigned readers)
{
	struct timespec now;

	expected++;
	told = 0;
	while (told < readers)
		turn(seen_change);
	clock_gettime(CLOCK_MONOTONIC, &now);
	printf("%lld\n", (long long)now.tv_sec * 1000000000 + now.tv_nsec);
	fflush(stdout);
}

int
main(int argc, char **argv)
{
	struct sockaddr_in to = { .sin_family = AF_INET };
	struct rlimit limit;
	struct stream *streams;
	unsigned n, readers = 0, silent;
	char token[256], line[16];
	FILE *tokens;

	if (argc != 7)
		return 2;
	n = (unsigned)atoi(argv[5]);
	silent = (unsigned)atoi(argv[6]);
	inet_pton(AF_INET, argv[1], &to.sin_addr);
	to.sin_port = htons((uint16_t)atoi(argv[2]));
	if (getrlimit(RLIMIT_NOFILE, &limit) == 0) {
		limit.rlim_cur = limit.rlim_max;
		setrlimit(RLIMIT_NOFILE, &limit);
	}
	epoll_fd = epoll_create1(0);
	streams = calloc(n, sizeof *streams);
	tokens = fopen(argv[4], "r");
	if (epoll_fd < 0 || !streams || !tokens)
		fail("start");
	for (unsigned i = 0; i < n; i++) {
		if (fscanf(tokens, "%255s", token) != 1) {
			rewind(tokens);
			if (fscanf(tokens, "%255s", token) != 1)
				fail("tokens");
		}
		streams[i].silent = i % 100 < silent;
		readers += !streams[i].silent;
		open_stream(&streams[i], &to, argv[3], token);
		while (i + 1 - ready > 64) /* no faster than they are taken */
			turn(seen_hello);
	}
	while (ready < n)
		turn(seen_hello);
	printf("ready\n");
	fflush(stdout);
	while (fgets(line, sizeof line, stdin))
		wait_for_change(readers);
	return 0;
}
