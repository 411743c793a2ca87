/*
 * The listening socket: where connections come from, and which are turned away before they cost anything.
 *
 * Behind an accept that fails for want of descriptors the connection stays in the queue and epoll reports it again and again, so
 * we keep one descriptor in reserve: give it up, accept, say 503, close, take it back.
 */
#include "server/http/http_internal.h"

#include <arpa/inet.h>
#include <errno.h>
#include <fcntl.h>
#include <netdb.h>
#include <netinet/tcp.h>
#include <sys/epoll.h>
#include <sys/socket.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"

#define ACCEPT_TURN 64          /* connections accepted before others are served again */
#define ACCEPT_PAUSE_MS 100     /* when even the reserve is gone */
#define BACKLOG 1024

union address {
	struct sockaddr sa;
	struct sockaddr_in v4;
	struct sockaddr_in6 v6;
	struct sockaddr_storage all;
};

static bool
is_wildcard(const union address *a)
{
	if (a->sa.sa_family == AF_INET)
		return a->v4.sin_addr.s_addr == htonl(INADDR_ANY);
	return IN6_IS_ADDR_UNSPECIFIED(&a->v6.sin6_addr);
}

/* An IPv4 client of a dual-stack socket is an IPv4 client. */
static void
unmap(union address *a)
{
	struct sockaddr_in v4 = { .sin_family = AF_INET, .sin_port = a->v6.sin6_port };

	if (a->sa.sa_family != AF_INET6 || !IN6_IS_ADDR_V4MAPPED(&a->v6.sin6_addr))
		return;
	memcpy(&v4.sin_addr, a->v6.sin6_addr.s6_addr + 12, 4);
	a->v4 = v4;
}

static void
address_text(const union address *a, char *out, size_t cap)
{
	out[0] = '\0';
	if (a->sa.sa_family == AF_INET)
		inet_ntop(AF_INET, &a->v4.sin_addr, out, (socklen_t)cap);
	else if (a->sa.sa_family == AF_INET6)
		inet_ntop(AF_INET6, &a->v6.sin6_addr, out, (socklen_t)cap);
}

/* ---- opening ---- */

/* "HOST:PORT" or "[V6]:PORT" as separate texts; ${host} keeps no brackets. */
static err_code
split_listen(const char *where, char *host, size_t host_cap, const char **port, struct err *err)
{
	const char *colon = strrchr(where, ':');
	size_t len = colon ? (size_t)(colon - where) : 0;

	if (!colon || !colon[1] || len == 0)
		return err_set(err, ERR_USAGE, "%s is not HOST:PORT", where);
	if (where[0] == '[' && where[len - 1] == ']') {
		where++;
		len -= 2;
	}
	if (len >= host_cap)
		return err_set(err, ERR_USAGE, "the host to listen on is too long");
	memcpy(host, where, len);
	host[len] = '\0';
	*port = colon + 1;
	return ERR_OK;
}

static err_code
bind_first(struct http_server *s, const struct addrinfo *ai, const char *where, struct err *err)
{
	const int on = 1;

	s->listen_fd = socket(ai->ai_family, SOCK_STREAM | SOCK_NONBLOCK | SOCK_CLOEXEC, 0);
	if (s->listen_fd < 0)
		return err_errno(err, "socket for %s", where);
	setsockopt(s->listen_fd, SOL_SOCKET, SO_REUSEADDR, &on, sizeof on);
	if (bind(s->listen_fd, ai->ai_addr, ai->ai_addrlen))
		return err_sys(err, errno == EADDRINUSE ? ERR_BUSY : ERR_IO, errno, "cannot listen on %s", where);
	if (listen(s->listen_fd, BACKLOG))
		return err_errno(err, "listen on %s", where);
	return ERR_OK;
}

/* What we really listen on, and so which Host names are ours. */
static err_code
note_address(struct http_server *s, const char *host, const char *const *hosts, struct err *err)
{
	union address a;
	socklen_t len = sizeof a;
	char text[INET6_ADDRSTRLEN], listen_host[300];
	bool v6;

	if (getsockname(s->listen_fd, &a.sa, &len))
		return err_errno(err, "getsockname");
	v6 = a.sa.sa_family == AF_INET6;
	address_text(&a, text, sizeof text);
	snprintf(s->address, sizeof s->address, v6 ? "[%s]:%u" : "%s:%u", text,
	    (unsigned)ntohs(v6 ? a.v6.sin6_port : a.v4.sin_port));
	snprintf(listen_host, sizeof listen_host, strchr(host, ':') ? "[%s]" : "%s", host);
	admit_init(&s->admit, listen_host, is_wildcard(&a), hosts);
	return ERR_OK;
}

static err_code
arm(struct http_server *s, struct err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &s->listen_fd };

	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->listen_fd, &ev))
		return err_errno(err, "epoll_ctl");
	return ERR_OK;
}

err_code
listen_open(struct http_server *s, const char *where, const char *const *hosts, struct err *err)
{
	const struct addrinfo hints = { .ai_family = AF_UNSPEC, .ai_socktype = SOCK_STREAM,
		.ai_flags = AI_PASSIVE | AI_NUMERICSERV };
	struct addrinfo *ai;
	char host[256];
	const char *port;
	err_code rc;
	int no;

	rc = split_listen(where, host, sizeof host, &port, err);
	if (rc)
		return rc;
	no = getaddrinfo(host, port, &hints, &ai);
	if (no)
		return err_set(err, ERR_USAGE, "cannot listen on %s: %s", where, gai_strerror(no));
	rc = bind_first(s, ai, where, err);
	freeaddrinfo(ai);
	if (!rc)
		rc = note_address(s, host, hosts, err);
	if (!rc)
		rc = arm(s, err);
	s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	return rc;
}

void
listen_close(struct http_server *s)
{
	closep(&s->listen_fd);
	closep(&s->reserve_fd);
	s->listen_fd = s->reserve_fd = -1;
	s->accept_again_ms = 0;
}

/* ---- counting by address ---- */

/* An IPv6 client owns its whole /64, so that is what counts as one address. */
static size_t
peer_key(const union address *a, uint8_t key[16])
{
	if (a->sa.sa_family == AF_INET) {
		memcpy(key, &a->v4.sin_addr, 4);
		return 4;
	}
	memcpy(key, &a->v6.sin6_addr, 8);
	return 8;
}

static bool
is_loopback(const union address *a)
{
	if (a->sa.sa_family == AF_INET)
		return (ntohl(a->v4.sin_addr.s_addr) >> 24) == 127;
	return a->sa.sa_family == AF_INET6 && IN6_IS_ADDR_LOOPBACK(&a->v6.sin6_addr);
}

/* Count one more connection of that address; false when it has enough.  Loopback is not counted: a proxy lives there. */
static bool
peer_enter(struct http_server *s, const union address *a, struct peer **out)
{
	uint8_t key[16];
	size_t len = peer_key(a, key);
	struct peer *p;

	*out = NULL;
	if (is_loopback(a))
		return true;
	p = map_get(s->peers, key, len);
	if (!p) {
		p = xcalloc(1, sizeof *p);
		memcpy(p->key, key, len);
		p->key_len = len;
		map_put(s->peers, key, len, p);
	}
	if (p->count >= HTTP_PER_PEER_MAX)
		return false;
	p->count++;
	*out = p;
	return true;
}

void
listen_forget(struct http_server *s, struct peer *p)
{
	if (!p || --p->count > 0)
		return;
	map_remove(s->peers, p->key, p->key_len);
	free(p);
}

/* ---- accepting ---- */

/* 503 and goodbye.  What the peer has sent already is read, so that closing does not reset the answer away. */
static void
turn_away(struct http_server *s, int fd)
{
	char text[KIB];
	size_t len = answer_busy(text, sizeof text);

	(void)!send(fd, text, len, MSG_DONTWAIT | MSG_NOSIGNAL);
	shutdown(fd, SHUT_WR);
	(void)!recv(fd, s->scratch, sizeof s->scratch, MSG_DONTWAIT);
	close(fd);
}

static void
welcome(struct http_server *s, int fd, union address *a)
{
	struct epoll_event ev = { .events = EPOLLIN | EPOLLOUT | EPOLLRDHUP | EPOLLET };
	char text[INET6_ADDRSTRLEN];
	const int on = 1;
	struct peer *peer;

	unmap(a);
	if (s->conn_count - s->taken_count >= s->connections_max || !peer_enter(s, a, &peer)) {
		turn_away(s, fd);
		return;
	}
	setsockopt(fd, IPPROTO_TCP, TCP_NODELAY, &on, sizeof on); /* answers leave whole; nothing is gained by waiting */
	address_text(a, text, sizeof text);
	ev.data.ptr = conn_new(s, fd, peer, text);
	if (epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, fd, &ev))
		conn_expired(ev.data.ptr); /* out of watches: close it as an idle one */
}

static int
accept_one(struct http_server *s, union address *a)
{
	socklen_t len = sizeof *a;

	return accept4(s->listen_fd, &a->sa, &len, SOCK_NONBLOCK | SOCK_CLOEXEC);
}

/*
 * Out of descriptors: spend the reserve on saying so.  True when there may be more to accept.  Without a reserve, stop listening
 * for a moment.  Note that accept says EMFILE before it looks whether anybody waits at all.
 */
static bool
accept_short(struct http_server *s)
{
	union address a;
	int fd = -1;

	if (s->reserve_fd >= 0) {
		close(s->reserve_fd);
		fd = accept_one(s, &a);
		if (fd >= 0)
			turn_away(s, fd);
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	}
	if (s->reserve_fd < 0) {
		epoll_ctl(s->epoll_fd, EPOLL_CTL_DEL, s->listen_fd, NULL);
		s->accept_again_ms = s->now_ms + ACCEPT_PAUSE_MS;
		return false;
	}
	return fd >= 0;
}

void
listen_accept(struct http_server *s)
{
	union address a;

	for (int i = 0; i < ACCEPT_TURN; i++) {
		int fd = accept_one(s, &a);

		if (fd >= 0) {
			welcome(s, fd, &a);
		} else if (errno == EMFILE || errno == ENFILE || errno == ENOBUFS || errno == ENOMEM) {
			if (!accept_short(s))
				return;
		} else if (errno != EINTR && errno != ECONNABORTED) {
			return; /* EAGAIN, or a connection that died in the queue */
		}
	}
}

void
listen_rearm(struct http_server *s)
{
	struct err err;

	s->accept_again_ms = 0;
	if (s->reserve_fd < 0)
		s->reserve_fd = open("/dev/null", O_RDONLY | O_CLOEXEC);
	if (arm(s, &err))
		s->accept_again_ms = s->now_ms + ACCEPT_PAUSE_MS;
}
