/*
 * The least that one message to very many readers can cost: a thread that calls send for each of them and does nothing else.
 *
 *   sender N LEN
 *
 * Listens on a port of 127.0.0.1 that it prints, says "hello" as an event stream does to N who connect, then "ready".  Then, for each line on
 * standard input, sends each of them an event of LEN bytes.  bench/subscribers.c is who reads.
 */
#include <arpa/inet.h>
#include <errno.h>
#include <netinet/in.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <unistd.h>

static const char hello[] = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n\r\nevent: hello\ndata: {}\n\n";
static const char change[] = "event: change\ndata: ", end[] = "\n\n";

static void
fail(const char *what)
{
	fprintf(stderr, "sender: %s: %s\n", what, strerror(errno));
	exit(1);
}

static int
listen_here(void)
{
	struct sockaddr_in at = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
	socklen_t len = sizeof at;
	int fd = socket(AF_INET, SOCK_STREAM, 0);

	if (fd < 0 || bind(fd, (const struct sockaddr *)&at, sizeof at) || listen(fd, SOMAXCONN) || getsockname(fd, (struct sockaddr *)&at, &len))
		fail("listen");
	printf("%u\n", ntohs(at.sin_port));
	fflush(stdout);
	return fd;
}

static void
say(int fd, const char *p, size_t len)
{
	if (send(fd, p, len, MSG_NOSIGNAL) != (ssize_t)len)
		fail("send");
}

int
main(int argc, char **argv)
{
	size_t n = argc == 3 ? strtoul(argv[1], NULL, 10) : 0, len = n ? strtoul(argv[2], NULL, 10) : 0;
	int *to = calloc(n, sizeof *to);
	char *event = malloc(len + 1), line[16], head[2048];
	struct rlimit most;

	if (len < sizeof change + sizeof end || !to || !event)
		fail("usage: sender N LEN");
	memset(event, 'x', len);
	memcpy(event, change, sizeof change - 1);
	memcpy(event + len - (sizeof end - 1), end, sizeof end - 1);
	if (getrlimit(RLIMIT_NOFILE, &most))
		fail("getrlimit");
	most.rlim_cur = most.rlim_max;
	if (setrlimit(RLIMIT_NOFILE, &most))
		fail("setrlimit");
	int fd = listen_here();
	for (size_t i = 0; i < n; i++) {
		to[i] = accept(fd, NULL, NULL);
		if (to[i] < 0 || recv(to[i], head, sizeof head, 0) <= 0)
			fail("accept");
		say(to[i], hello, sizeof hello - 1);
	}
	while (fgets(line, sizeof line, stdin))
		for (size_t i = 0; i < n; i++)
			say(to[i], event, len);
	free(event);
	free(to);
	return 0;
}
