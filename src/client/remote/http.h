#pragma once
/**
 * One request and its answer, over libcurl: limits, patience, retries.  Private to remote/.
 */

#include "base/sbuf.h"
#include "client/remote/remote_backend.h"

#define ANSWER_HEAD_MAX (64 * KIB)    /* a server that sends more is not ours */
#define ANSWER_PROBLEM_MAX (1 * MIB)  /* a problem may list WIRE_MISSING_MAX chunks */
#define ANSWER_JSON_MAX (8 * MIB)     /* as much as we may send ourselves */
#define IDLE_LINES_MAX 32             /* kept connections; a device has 16 requests in flight at most */
#define CONNECT_DEADLINE_S 10L
#define STALL_BYTES_S 1024L           /* slower than this for stall_s seconds is a dead line */

#define TYPE_JSON "application/json"
#define TYPE_BYTES "application/octet-stream"

/** What is asked, and where the answer goes: into ${text} up to its ceiling, or into ${buf}. */
struct http_call {
	const char *method;
	const char *path;      /* after the base URL, escaped */
	const char *accept;    /* the only media type that a 2xx answer may have; NULL: its body is not looked at */
	const char *coding;    /* the Content-Encoding that is asked for, and the only one that a 2xx answer then has; NULL: none */
	const struct hash *match; /* only of what has this for its tag (If-Match), else PRECONDITION_FAILED; NULL: of whatever is there */
	const char *type;      /* of the body */
	const void *body;      /* NULL: none; borrowed until the call returns */
	size_t body_len;
	bool keyed;            /* send an Idempotency-Key, the same one in all attempts */
	bool aside;            /* a few bytes beside the transfers: waits for none of them, and when it fails is not tried again */
	bool ranged;           /* only bytes range_off … range_off + cap - 1; the answer must be a 206 */
	uint64_t range_off;
	struct sbuf *text;
	uint8_t *buf;
	size_t cap;

	/* the answer */
	int status;
	size_t got;            /* bytes in ${buf} */
	uint64_t total;        /* of a ranged answer's whole */
	struct hash tag;       /* the answer's ETag, where that is a hash */
	bool has_tag;
	bool more;             /* the server has further pages (Dray-More: true) */
	struct sbuf problem;   /* the body of an answer of 300 or more; the caller's to release */
	bool too_large;        /* failed because the answer passed its ceiling */
};

struct http;

err_code http_open(const struct remote_opts *opts, struct http **out, struct err *err);
void http_free(struct http *h);
void http_stats(struct http *h, struct remote_stats *out);

/** http_run(h, c, err): carry out ${c}, again and again where that may help.  ERR_OK means a 2xx answer of the right form. */
err_code http_run(struct http *h, struct http_call *c, struct err *err);

/* ---- between the files of this folder ------------------------------------------------------------------------------------- */

/** server_url_check(url, allow_http, loopback, err): what may be a server's address. */
err_code server_url_check(const char *url, bool allow_http, bool *loopback, struct err *err);

/** answer_bad(err, what): what the server said does not read as it should: that is its error, not that of whoever called. */
err_code answer_bad(struct err *err, const char *what);

/** answer_reset(c): nothing of the answer to an attempt before is left. */
void answer_reset(struct http_call *c);

/** answer_error(status, is_problem, p, len, err): the error that an answer of 300 or more tells. */
err_code answer_error(int status, bool is_problem, const uint8_t *p, size_t len, struct err *err);

/** answer_again(status, code): whether the same request may succeed in a moment. */
bool answer_again(int status, err_code code);

/** content_range_parse(v, len, first, last, total): "bytes 0-15/300"; false for anything else. */
bool content_range_parse(const char *v, size_t len, uint64_t *first, uint64_t *last, uint64_t *total);
