/* Starting and stopping the server: builds the parts, and takes them down in the opposite order. */
#include "server/http/http_internal.h"

#include <sys/epoll.h>
#include <sys/eventfd.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/map.h"
#include "base/rng.h"

#define WORKERS_DEFAULT 8
#define CONNECTIONS_DEFAULT 4096

unsigned
http_connections_that_fit(unsigned max, unsigned part)
{
	struct rlimit rl;

	if (getrlimit(RLIMIT_NOFILE, &rl) == 0 && rl.rlim_cur != RLIM_INFINITY)
		max = (unsigned)MIN((rlim_t)max, rl.rlim_cur / part);
	return max;
}

static int64_t
or_default(unsigned ms, int64_t fallback)
{
	return ms ? (int64_t)ms : fallback;
}

static struct http_server *
server_new(const struct http_opts *opts, const struct http_service *service)
{
	struct http_server *s = xcalloc(1, sizeof *s);

	s->service = *service;
	s->epoll_fd = s->wake_fd = s->listen_fd = s->reserve_fd = -1;
	s->connections_max = opts->connections_max ? opts->connections_max : http_connections_that_fit(CONNECTIONS_DEFAULT, 4);
	s->access_log = opts->access_log;
	s->id_seed = rng_u64();
	s->peers = map_new();
	s->idle.span_ms = or_default(opts->idle_ms, HTTP_IDLE_MS);
	s->head.span_ms = or_default(opts->head_deadline_ms, HTTP_HEAD_DEADLINE_MS);
	s->body.span_ms = or_default(opts->body_window_ms, HTTP_BODY_RATE_WINDOW_MS);
	s->write.span_ms = or_default(opts->write_stall_ms, HTTP_WRITE_STALL_MS);
	s->drain.span_ms = or_default(opts->drain_ms, HTTP_DRAIN_MS);
	s->later.span_ms = HTTP_LATER_MS;
	mutex_init(&s->mu, RANK_ENGINE);
	return s;
}

static void
server_free(struct http_server *s)
{
	if (s->workers)
		workq_free(s->workers);
	listen_close(s);
	closep(&s->wake_fd);
	closep(&s->epoll_fd);
	admit_fini(&s->admit);
	map_free(s->peers);
	mutex_fini(&s->mu);
	free(s);
}

static err_code
open_loop(struct http_server *s, struct err *err)
{
	struct epoll_event ev = { .events = EPOLLIN, .data.ptr = &s->wake_fd };

	s->epoll_fd = epoll_create1(EPOLL_CLOEXEC);
	s->wake_fd = eventfd(0, EFD_CLOEXEC | EFD_NONBLOCK);
	if (s->epoll_fd < 0 || s->wake_fd < 0 || epoll_ctl(s->epoll_fd, EPOLL_CTL_ADD, s->wake_fd, &ev))
		return err_errno(err, "cannot set up the event loop");
	return ERR_OK;
}

err_code
http_start(const struct http_opts *opts, const struct http_service *service, struct http_server **out, struct err *err)
{
	struct http_server *s = server_new(opts, service);
	err_code rc;

	*out = NULL;
	rc = open_loop(s, err);
	if (!rc)
		rc = listen_open(s, opts->listen, opts->hosts, err);
	if (!rc) {
		s->workers = workq_new("http", opts->workers ? opts->workers : WORKERS_DEFAULT, 0);
		rc = thread_start("http-loop", loop_run, s, &s->thread, err);
	}
	if (rc) {
		server_free(s);
		return rc;
	}
	*out = s;
	return ERR_OK;
}

const char *
http_address(const struct http_server *s)
{
	return s->address;
}

void
http_stop(struct http_server *s, int64_t grace_ms)
{
	if (!s)
		return;
	mutex_lock(&s->mu);
	s->cut_at_ms = clock_mono_ms() + MAX(grace_ms, 0);
	mutex_unlock(&s->mu);
	atomic_store(&s->stopping, true);
	loop_wake(s);
	pthread_join(s->thread, NULL);
	server_free(s);
}
