/*
 * The server: the real routes and rules over metadata and store in memory.  Everything that happens to it is written down with its time and the
 * numbers it was given, so that it can be made again as it was at any moment before: that is what a restored backup is.
 */
#include "base/clock.h"
#include "client/state/state.h"
#include "front.h"
#include "server/domain/access.h"
#include "server/domain/history.h"
#include "server/domain/tree.h"
#include "server/job/gc.h"
#include "server/route/route.h"
#include "wire/wire.h"

#define STREAM_FIRST 1000 /* of the numbers of events */
#define PAGE 200

enum event_kind { EV_REQUEST, EV_RESTART, EV_EXPIRE, EV_COLLECT, EV_EPOCH };

struct event {
	enum event_kind kind;
	uint64_t number;
	int64_t now_ns, skew_ns;
	struct request rq;
};

static struct server {
	struct meta *meta;
	struct store *store;
	struct domain *d;
	struct route *route;
	struct http_service service;
	struct id project;
	struct device devices[DEVICES];
} s;

static uint64_t seed_now, number;
static char tokens[DEVICES + 1][TOKEN_LEN + 1]; /* the last one is the owner's */
static struct event *events;
static size_t event_count, event_cap;

/* What is known of the contents that the server has had. */
static struct {
	struct hash hash;
	unsigned value;
} contents[4 * VALUES_MAX];
static size_t content_count;

static void
must(err_code rc, const struct err *err, const char *what)
{
	if (rc)
		fail("sim", "%s: %s: %s", what, err_info(rc)->code, err->msg);
}

/* ---- events --------------------------------------------------------------------------------------------------------------------------- */

static void
restart(void)
{
	route_free(s.route);
	domain_free(s.d);
	s.d = domain_open(s.meta, s.store);
	s.route = route_open(s.d, NULL);
	s.service = route_service(s.route);
}

static void
expire(void)
{
	struct err err;

	must(domain_expire(s.d, &err), &err, "expire");
	must(history_prune(s.d, clock_wall_us(), &err), &err, "prune");
}

static void
collect_garbage(void)
{
	struct gc_report report;
	struct err err;

	must(gc_collect(s.d, s.meta, s.store, false, &report, &err), &err, "collect");
}

static void
new_epoch(void)
{
	struct id epoch = id_new();
	struct meta_tx *tx;
	struct err err;

	must(meta_begin(s.meta, META_WRITE, &tx, &err), &err, "begin");
	must(meta_project_epoch(tx, &s.project, &epoch, &err), &err, "epoch");
	must(meta_commit(&tx, &err), &err, "commit");
}

static void
happen(const struct event *e, struct answer *out)
{
	switch (e->kind) {
	case EV_REQUEST:
		front_run(&s.service, &e->rq, out);
		break;
	case EV_RESTART:
		restart();
		break;
	case EV_EXPIRE:
		expire();
		break;
	case EV_COLLECT:
		collect_garbage();
		break;
	case EV_EPOCH:
		new_epoch();
		break;
	}
}

/* With the numbers, and at the time, that the event has. */
static void
run(const struct event *e, struct answer *out)
{
	int64_t skew = *time_skew(DEVICES);
	struct dice old;

	sched_hold();
	old = chance_rng(chance_stream(seed_now, STREAM_FIRST + e->number));
	*time_skew(DEVICES) = e->skew_ns;
	happen(e, out);
	*time_skew(DEVICES) = skew;
	chance_rng(old);
	sched_release();
}

static struct request
request_copy(const struct request *rq)
{
	struct request c = *rq;

	c.target = xstrdup(rq->target);
	c.token = rq->token ? xstrdup(rq->token) : NULL;
	c.key = rq->key ? xstrdup(rq->key) : NULL;
	if (rq->body) {
		uint8_t *body = xcalloc(rq->body_len + 1, 1);

		memcpy(body, rq->body, rq->body_len);
		c.body = body;
	}
	return c;
}

static struct event *
event_add(enum event_kind kind)
{
	if (event_count == event_cap) {
		event_cap = MAX(2 * event_cap, (size_t)256);
		events = xrealloc(events, event_cap * sizeof *events);
	}
	events[event_count] = (struct event){ .kind = kind, .number = ++number, .now_ns = time_now(), .skew_ns = *time_skew(DEVICES) };
	return &events[event_count++];
}

static void
event_run(enum event_kind kind)
{
	trace("server", kind, number);
	run(event_add(kind), NULL);
}

void
server_call(int device, const struct request *rq, struct answer *out)
{
	struct event *e = event_add(EV_REQUEST);

	e->rq = request_copy(rq);
	run(e, out);
	if (strcmp(rq->method, "GET") != 0 && strstr(rq->target, "/commits"))
		oracle_committed(device);
}

void
server_restart(void)
{
	event_run(EV_RESTART);
}

void
server_expire(void)
{
	event_run(EV_EXPIRE);
}

void
server_collect(void)
{
	event_run(EV_COLLECT);
}

/* ---- its beginning, and again ----------------------------------------------------------------------------------------------------------- */

static void
add_device(struct arena *a, unsigned i)
{
	static const char *const names[] = { "ant", "bee", "cow", "owner" };
	struct hash h = hash_of(tokens[i], TOKEN_LEN);
	bool owner = i == DEVICES;
	struct device out;
	struct err err;

	must(device_create(s.d, names[i], owner ? DEVICE_OWNER : DEVICE_PLAIN, owner ? NULL : &s.project, owner ? ROLE_NONE : ROLE_WRITER, &h,
	         NULL, a, &out, &err), &err, "device");
	if (!owner)
		s.devices[i] = out;
}

static void
begin(void)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct dice old;
	int64_t skew = *time_skew(DEVICES);
	struct project p;
	struct err err;

	sched_hold();
	*time_skew(DEVICES) = 0; /* its ids are made of the time, too */
	old = chance_rng(chance_stream(seed_now, STREAM_FIRST));
	s = (struct server){ .meta = meta_mem_new(), .store = store_mem_new() };
	s.d = domain_open(s.meta, s.store);
	s.route = route_open(s.d, NULL);
	s.service = route_service(s.route);
	for (unsigned i = 0; i <= DEVICES; i++)
		token_new(tokens[i]);
	must(project_create(s.d, "film", NULL, a, &p, &err), &err, "project");
	s.project = p.id;
	for (unsigned i = 0; i <= DEVICES; i++)
		add_device(a, i);
	*time_skew(DEVICES) = skew;
	chance_rng(old);
	sched_release();
}

void
server_start(uint64_t seed)
{
	seed_now = seed;
	begin();
}

static void
event_free(struct event *e)
{
	free((char *)(uintptr_t)e->rq.target);
	free((char *)(uintptr_t)e->rq.token);
	free((char *)(uintptr_t)e->rq.key);
	free((uint8_t *)(uintptr_t)e->rq.body);
}

static void
again(const struct event *e)
{
	struct answer a = { 0 };

	time_set(e->now_ns);
	run(e, &a);
	free(a.body);
}

void
server_restore(struct dice *dice)
{
	size_t keep = dice_below(dice, (uint32_t)event_count + 1);
	int64_t now = time_now();

	trace("restore", keep, event_count);
	route_free(s.route);
	domain_free(s.d);
	store_free(s.store);
	meta_free(s.meta);
	time_set(1000 * INT64_C(1000000000));
	begin();
	for (size_t i = 0; i < keep; i++)
		again(&events[i]);
	for (; event_count > keep; event_count--)
		event_free(&events[event_count - 1]);
	time_set(now);
	event_run(EV_EPOCH);
	oracle_committed(-1);
}

const char *
server_token(int device)
{
	return tokens[device];
}

void
server_link(int device, struct state_link *out)
{
	*out = (struct state_link){ .url = "http://127.0.0.1:1", .project = s.project, .device = s.devices[device].id,
		.project_name = "film", .device_name = s.devices[device].name };
	out->device_name = (const char *const[]){ "ant", "bee", "cow" }[device];
}

/* ---- what is there ------------------------------------------------------------------------------------------------------------------------- */

/* The bytes at a path, as any HTTP client gets them. */
static unsigned
content_read(const char *path)
{
	struct sbuf target = SBUF(64 * KIB);
	char hex[ID_HEX_LEN + 1];
	struct event e = { .kind = EV_REQUEST, .number = UINT32_MAX, .now_ns = time_now(), .skew_ns = *time_skew(DEVICES) };
	struct answer a;
	unsigned v;

	sbuf_addf(&target, "/projects/%s/content/", id_hex(&s.project, hex));
	for (const char *p = path; *p; p++)
		sbuf_addf(&target, strchr("/.-", *p) || (*p >= '0' && *p <= '9') || (*p >= 'A' && *p <= 'z') ? "%c" : "%%%02X", (unsigned char)*p);
	e.rq = (struct request){ .method = "GET", .target = sbuf_str(&target), .token = tokens[DEVICES] };
	run(&e, &a);
	if (a.status != 200)
		fail("I2", "%s is on the server, and answers %d: %.*s", path, a.status, (int)a.len, (const char *)a.body);
	v = value_of(a.body, a.len);
	free(a.body);
	sbuf_fini(&target);
	return v;
}

static unsigned
content_value(const struct file *f, const char *path)
{
	unsigned v;

	for (size_t i = 0; i < content_count; i++)
		if (hash_eq(&contents[i].hash, &f->content))
			return contents[i].value;
	v = content_read(path);
	if (content_count < ARRAY_LEN(contents)) {
		contents[content_count].hash = f->content;
		contents[content_count++].value = v;
	}
	return v;
}

static void
add_leaf(struct tree *t, const struct file *f)
{
	char path[FILE_PATH_MAX];
	struct leaf leaf = { .kind = "fdl"[f->kind], .mode = f->kind == KIND_LINK ? 0 : f->mode, .mtime_ns = f->mtime_ns };

	file_path(f, path);
	leaf.path = xstrdup(path);
	leaf.target = xstrdup(f->kind == KIND_LINK ? f->target : "");
	leaf.value = f->kind == KIND_FILE && f->size > 0 ? content_value(f, path) : VALUE_NONE;
	tree_add(t, &leaf);
}

void
server_tree(struct tree *t)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * MIB);
	struct tree_page page = { .has_more = true };
	struct err err;
	int64_t after = 0;

	*t = (struct tree){ 0 };
	sched_hold();
	while (page.has_more) {
		must(tree_list(s.d, &s.project, after, PAGE, false, a, &page, &err), &err, "list");
		for (size_t i = 0; i < page.n; i++)
			add_leaf(t, &page.files[i]);
		after = page.next;
	}
	sched_release();
	tree_sort(t);
}

/* ---- trees ------------------------------------------------------------------------------------------------------------------------------------ */

void
tree_add(struct tree *t, const struct leaf *leaf)
{
	if (t->n == t->cap) {
		t->cap = MAX(2 * t->cap, (size_t)32);
		t->leaves = xrealloc(t->leaves, t->cap * sizeof *t->leaves);
	}
	t->leaves[t->n++] = *leaf;
}

static int
by_path(const void *a, const void *b)
{
	return strcmp(((const struct leaf *)a)->path, ((const struct leaf *)b)->path);
}

void
tree_sort(struct tree *t)
{
	if (t->n > 1)
		qsort(t->leaves, t->n, sizeof *t->leaves, by_path);
}

void
tree_free(struct tree *t)
{
	for (size_t i = 0; i < t->n; i++) {
		free(t->leaves[i].path);
		free(t->leaves[i].target);
	}
	free(t->leaves);
	*t = (struct tree){ 0 };
}

static void
leaf_text(const struct leaf *l, char *text, size_t cap)
{
	if (l)
		snprintf(text, cap, "%c %s %04o of %jd value %u %s", l->kind, l->path, l->mode, (intmax_t)l->mtime_ns, l->value, l->target);
	else
		snprintf(text, cap, "nothing");
}

bool
tree_same(const struct tree *a, const struct tree *b, char *text, size_t cap)
{
	for (size_t i = 0; i < MAX(a->n, b->n); i++) {
		const struct leaf *x = i < a->n ? &a->leaves[i] : NULL, *y = i < b->n ? &b->leaves[i] : NULL;
		char one[1024], other[1024];

		if (x && y && strcmp(x->path, y->path) == 0 && x->kind == y->kind && x->mode == y->mode && x->mtime_ns == y->mtime_ns &&
		    x->value == y->value && strcmp(x->target, y->target) == 0)
			continue;
		leaf_text(x, one, sizeof one);
		leaf_text(y, other, sizeof other);
		snprintf(text, cap, "%s, and there %s", one, other);
		return false;
	}
	return true;
}
