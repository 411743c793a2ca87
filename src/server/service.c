#include "base/clock.h"
#include "base/log.h"
#include "server/database.h"
#include "server/domain/access.h"
#include "server/http/http.h"
#include "server/job/gc.h"
#include "server/notify/notify.h"
#include "server/route/route.h"
#include "server/service.h"

#define GC_FIRST_US (10 * 60 * INT64_C(1000000)) /* after the start: one that is started daily collects too */
#define RESERVE_MAX (256 * MIB)         /* stays free, so that deletes and the database can go on */

struct service {
	struct db *db;          /* owned by meta once that is open; kept for the checkpoint, and to listen */
	struct db_listener *listener;
	struct meta *meta;
	struct store *store;
	struct domain *domain;
	struct gc *gc;
	struct notify *hub;
	struct route *route;
	struct http_server *http;
};

static err_code
open_meta(struct service *s, const struct data *data, const char *db_url, struct err *err)
{
	struct db *db;
	err_code rc = database_open(data, db_url, &db, err);

	if (rc == ERR_OK)
		rc = meta_sql_open(db, &s->meta, err);
	if (rc == ERR_OK)
		s->db = db;
	return rc;
}

/* The file first: a token without its row gets one at the next start, a row without its token would lock everybody out. */
static err_code
open_owner(struct service *s, const struct data *data, bool *first_start, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	char token[TOKEN_LEN + 1];
	struct caller caller;
	struct device device;
	struct hash hash;
	err_code rc = data_token_read(data, token, err);

	*first_start = rc == ERR_NOT_FOUND;
	if (*first_start) {
		token_new(token);
		rc = data_token_write(data, token, err);
	}
	if (rc)
		return rc;
	rc = access_check(s->domain, token, ACCESS_OWNER, NULL, a, &caller, err);
	if (rc != ERR_TOKEN_INVALID)
		return rc;
	hash = hash_of(token, strlen(token));
	return device_create(s->domain, "owner", DEVICE_OWNER, NULL, ROLE_NONE, &hash, NULL, a, &device, err);
}

static void
on_change(void *hub, const struct id *project, int64_t clock)
{
	notify_changed(hub, project, clock);
}

static void
on_transfer(void *hub, const struct id *project, const struct transfer_news *news)
{
	notify_progress(hub, project,
	    &(struct wire_progress){
	        .transfer = news->transfer,
	        .device = news->device,
	        .up = true,
	        .path = news->path,
	        .done = news->done,
	        .total = news->size,
	        .state = !news->over ? WIRE_RUNNING : news->completed ? WIRE_DONE : WIRE_GONE,
	    });
}

static void
on_place(void *hub, const struct id *project, const struct id *device, const struct id *epoch, int64_t clock)
{
	notify_place(hub, project, device, &(struct cursor){ .clock = clock, .epoch = *epoch, .has_epoch = true });
}

/* What another server on the same database has committed. */
static void
on_told(void *ctx, const struct id *project, int64_t clock)
{
	const struct service *s = ctx;

	domain_heard(s->domain, project, clock);
}

static void
on_missed(void *ctx)
{
	const struct service *s = ctx;

	domain_missed(s->domain);
	notify_missed(s->hub);
}

static err_code
open_hub(struct service *s, struct err *err)
{
	struct notify_opts opts = { .source = route_event_source(s->domain),
		.streams_max = http_connections_that_fit(EVENTS_STREAMS_MAX, 2) };
	err_code rc = notify_open(&opts, &s->hub, err);

	if (rc)
		return rc;
	domain_on_change(s->domain, on_change, s->hub);
	domain_on_live(s->domain, &(struct domain_live){ s->hub, on_transfer, on_place });
	return db_listen(s->db, &(struct db_ears){ s, on_told, on_missed }, &s->listener, err);
}

static err_code
open_all(struct service *s, struct data *data, const struct service_opts *opts, bool *first_start, struct err *err)
{
	struct http_service handlers;
	struct http_opts http = {
		.listen = opts->listen,
		.hosts = opts->hosts,
		.workers = opts->workers,
		.access_log = opts->access_log,
	};
	struct gc_opts gc = {
		.interval_us = opts->gc_interval_us,
		.first_us = MIN(opts->gc_interval_us, GC_FIRST_US),
		.eager = opts->gc_eager,
	};
	err_code rc = open_meta(s, data, opts->db_url, err);

	if (rc)
		return err_wrap(err, "open the metadata of %s", data->path);
	rc = store_fs_open(data->path, RESERVE_MAX, &s->store, err);
	if (rc)
		return err_wrap(err, "open the store of %s", data->path);
	s->domain = domain_open(s->meta, s->store);
	domain_grace(s->domain, opts->gc_grace_us);
	rc = open_owner(s, data, first_start, err);
	if (rc)
		return rc;
	rc = open_hub(s, err);
	if (rc)
		return rc;
	rc = gc_start(s->domain, s->meta, s->store, &gc, &s->gc, err);
	if (rc)
		return rc;
	s->route = route_open(s->domain, s->hub);
	handlers = route_service(s->route);
	return http_start(&http, &handlers, &s->http, err);
}

err_code
service_open(struct data *data, const struct service_opts *opts, struct service **out, bool *first_start, struct err *err)
{
	struct service *s = xcalloc(1, sizeof *s);
	err_code rc = open_all(s, data, opts, first_start, err);

	if (rc) {
		service_close(s, 0);
		s = NULL;
	}
	*out = s;
	return rc;
}

const char *
service_address(const struct service *s)
{
	return http_address(s->http);
}

void
service_tick(struct service *s)
{
	struct err err;

	if (domain_expire(s->domain, &err))
		log_error(&err, "what has outlived its time could not be removed");
}

void
service_close(struct service *s, int64_t grace_ms)
{
	struct err err;

	if (!s)
		return;
	db_listener_free(s->listener);
	notify_stop(s->hub); /* first: http waits until its connections come back */
	if (s->http)
		http_stop(s->http, grace_ms);
	gc_stop(s->gc);
	if (s->route)
		route_free(s->route);
	notify_free(s->hub);
	domain_free(s->domain);
	store_free(s->store);
	if (s->db && db_checkpoint(s->db, true, &err))
		log_error(&err, "the log could not be moved into the database; the next start does it");
	meta_free(s->meta);
	free(s);
}
