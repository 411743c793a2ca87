#pragma once
/**
 * What the files of route/ share.
 *
 * A request is a struct call.  route.c makes it, checks everything that is the same for all (target, token, access, body type,
 * limits) and runs the handler of the table's row.  A handler reads its query and body, calls the domain, and answers through
 * reply.c; or returns an error, which becomes a problem.
 */

#include "server/domain/access.h"
#include "server/domain/commit.h"
#include "server/domain/tree.h"
#include "server/route/range.h"
#include "server/route/route.h"
#include "server/route/target.h"
#include "wire/wire.h"

struct call;
struct inflight;
struct gate;
struct pace;
struct tickets;

struct route {
	struct domain *d;
	struct notify *hub;
	struct inflight *inflight;
	struct gate *batches;
	struct pace *polls;
	struct tickets *tickets;
};

/* ---- the table (table.c) --------------------------------------------------------------------------------------------------- */

enum body_class { BODY_NONE, BODY_JSON, BODY_BATCH, BODY_BLOCKS, BODY_STREAM };

/** A route whose body is handed on as it comes.  open may refuse before a byte of the body was read. */
struct stream_handler {
	uint64_t body_max;
	bool any_type;       /* a file's bytes have a type of their own; a chunk has one */
	bool length_required;
	err_code (*open)(struct call *c, struct err *err);
	err_code (*feed)(struct call *c, const uint8_t *p, size_t len, struct err *err);
	err_code (*finish)(struct call *c, struct err *err);
	void (*free)(struct call *c); /* after open, on every path */
};

struct row {
	const char *method, *path;
	enum access need;
	enum body_class body;
	err_code (*run)(struct call *c, struct err *err);
	const struct stream_handler *stream;
};

/** table_find(method, target, row, allow): the row, or NULL; then ${allow} lists what the path does know ("" when it is no path). */
#define ALLOW_MAX 64
const struct row *table_find(const char *method, struct target *t, char allow[static ALLOW_MAX]);

#define ROUTE_NONE(h) err_code h(struct call *c, struct err *err);
#define ROUTE_JSON(h) ROUTE_NONE(h)
#define ROUTE_BATCH(h) ROUTE_NONE(h)
#define ROUTE_BLOCKS(h) ROUTE_NONE(h)
#define ROUTE_STREAM(h) extern const struct stream_handler h;
#define ROUTE(method, path, who, body, handler) ROUTE_##body(route_##handler)
#include "wire/routes.def"
#undef ROUTE
#undef ROUTE_NONE
#undef ROUTE_JSON
#undef ROUTE_BATCH
#undef ROUTE_BLOCKS
#undef ROUTE_STREAM

/* ---- a request ------------------------------------------------------------------------------------------------------------- */

struct call {
	struct route *route;
	struct domain *d;
	struct http_request *rq;
	struct arena *a;        /* the request's */
	const struct row *row;
	struct target target;
	struct caller caller;
	struct id project;      /* :project; zero where the route has none, or the text was no id */
	const char *idem_key;   /* NULL: not given */
	struct idem idem;
	bool ticketed;          /* a ticket has let it in, in the place of a token */
	struct id ticket_for;   /* the one project that it is for; zero: any */
	bool counted;           /* in flight */
	bool later;             /* the handler wants to be run again */
	int64_t wait_until_ms, wait_clock; /* of a long poll that waits */
	bool opened;            /* stream->open was called */
	void *stream;           /* the stream handler's */
};

/** call_id(c, "file", out, err): a path parameter that is an id.  What cannot be one is as absent as one that is not there. */
err_code call_id(struct call *c, const char *name, struct id *out, struct err *err);

/** call_json(c, doc, in, err): the body as one object.  The caller frees *doc. */
err_code call_json(struct call *c, json_t **doc, struct json_in *in, struct err *err);

/**
 * call_idem(c, encode, ctx): how the domain is to remember the answer, or NULL when the request did not ask for it.
 * call_answer(c, idem, encode, ctx): answer with what was remembered, or with what ${encode} makes now.
 */
typedef err_code (*encode_fn)(void *ctx, struct sbuf *out, int *status, struct err *err);
struct idem *call_idem(struct call *c, encode_fn encode, void *ctx);
err_code call_answer(struct call *c, struct idem *idem, encode_fn encode, void *ctx, struct err *err);

/* ---- query parameters (query.c): each getter marks what it knows; query_end refuses the rest --------------------------------- */

err_code query_u64(struct call *c, const char *name, uint64_t min, uint64_t max, uint64_t *out, struct err *err);
err_code query_limit(struct call *c, unsigned *out, struct err *err);
err_code query_flag(struct call *c, const char *name, bool *out, struct err *err);
const char *query_text(struct call *c, const char *name, size_t *len); /* NULL when absent */
err_code query_end(struct call *c, struct err *err);

/* ---- answers (reply.c) ------------------------------------------------------------------------------------------------------- */

#define REPLY_JSON_MAX (64 * MIB)

/** reply_json(c, status, sb, err): a JSON body; takes the builder's text. */
err_code reply_json(struct call *c, int status, struct sbuf *sb, struct err *err);
#define REASON_POLLING "polling" /* of TOO_MANY_REQUESTS: many come for it at once, so each is told another time to come back */
/** reply_problem(rq, err): any error as a problem document, with the headers that its status needs. */
void reply_problem(struct http_request *rq, const struct err *err);
/** reply_problem_open, reply_problem_close: the same with members of one's own in between; ${sb} is the caller's. */
struct jw reply_problem_open(struct http_request *rq, struct sbuf *sb, const struct err *err);
void reply_problem_close(struct http_request *rq, struct jw *jw, const struct err *err);
void reply_header_f(struct http_request *rq, const char *name, const char *fmt, ...) FORMAT(3, 4);

/** reply_cursor(jw, key, clock, project): a cursor of the project. */
void reply_cursor(struct jw *jw, const char *key, int64_t clock, const struct id *epoch);

/** Bytes that can be asked for in part.  Exactly one of fd ≥ 0 and source is used. */
struct body {
	uint64_t size;
	const char *etag, *type;
	int fd; /* taken, on every path */
	/** Bytes from ${off} on, ${len} > 0 of them.  Called at most once. */
	err_code (*source)(struct call *c, void *ctx, uint64_t off, uint64_t len, struct http_source *out, struct err *err);
	void *ctx;
};
/** reply_body(c, b, err): 200, 206, 304, or an error, as the request's conditions and Range say. */
err_code reply_body(struct call *c, struct body *b, struct err *err);

/* ---- objects (object.c) -------------------------------------------------------------------------------------------------------- */

/** object_file(a, f, list, out): as the wire has it; text in ${a}.  ${list} NULL or empty: no extents.  NULL ${a}: static buffer ${path}. */
err_code object_file(struct arena *a, const struct file *f, const struct blocklist *list, struct wire_file *out, struct err *err);
/** object_beneath(f, out): and what lies beneath it, where it is a directory. */
void object_beneath(const struct file *f, struct wire_file *out);
/** object_files(a, jw, page, beneath, err): the member "files" of an object. */
err_code object_files(struct arena *a, struct jw *jw, const struct tree_page *page, bool beneath, struct err *err);
void object_project(struct jw *jw, const struct project *p);
const char *object_role(enum role role, enum device_kind kind);

/* ---- requests in flight (inflight.c) -------------------------------------------------------------------------------------------- */

struct inflight *inflight_new(void);
void inflight_free(struct inflight *f);
/** inflight_enter(f, device, max): false when ${max} requests of the device are running; else inflight_leave ends it. */
bool inflight_enter(struct inflight *f, const struct id *device, unsigned max);
void inflight_leave(struct inflight *f, const struct id *device);

/* ---- large batches (gate.c) -------------------------------------------------------------------------------------------------------- */

struct gate *gate_new(void);
void gate_free(struct gate *g);
/** gate_enter(g, body_len): waits for its turn and returns true, then gate_leave ends it; false at once for a small body. */
bool gate_enter(struct gate *g, size_t body_len);
void gate_leave(struct gate *g);
