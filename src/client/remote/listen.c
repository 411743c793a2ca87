/*
 * One request whose answer does not end, on a handle of its own.
 */
#include "client/remote/listen.h"

#include <strings.h>

#include "base/clock.h"
#include "client/remote/http_internal.h"
#include "client/remote/sse.h"

#define TYPE_EVENTS "text/event-stream"

struct listener {
	struct http *http;
	CURL *easy;
	CURLM *multi; /* curl_multi_wakeup is for any thread */
	char url[HTTP_URI_MAX];
	_Atomic bool stop, drop;

	/* of the run */
	struct sse sse;
	struct sbuf problem, text; /* ${text}: with listener_keep */
	bool keep;
	long status;
	int64_t last_ms;      /* when something was heard, a heartbeat's comment too */
	char detail[CURL_ERROR_SIZE];
	void (*fn)(void *ctx, const struct heard *h);
	void *ctx;
};

int64_t
listener_pause_ms(unsigned attempts)
{
	return http_backoff_ms(WATCH_RETRY_FIRST_MS, WATCH_RETRY_MAX_MS, attempts);
}

err_code
listener_open(const struct remote_opts *opts, struct listener **out, struct err *err)
{
	struct listener *l = xcalloc(1, sizeof *l);
	char project[ID_HEX_LEN + 1];
	err_code rc = http_open(opts, &l->http, err);

	if (rc) {
		listener_free(l);
		return rc;
	}
	l->easy = curl_easy_init();
	l->multi = curl_multi_init();
	id_hex(&opts->project, project);
	if (!l->easy || !l->multi || snprintf(l->url, sizeof l->url, "%s/projects/%s/events", l->http->url, project) >= (int)sizeof l->url) {
		listener_free(l);
		return err_set(err, ERR_NO_MEM, "no room for an event stream");
	}
	*out = l;
	return ERR_OK;
}

void
listener_free(struct listener *l)
{
	if (!l)
		return;
	sbuf_fini(&l->text);
	curl_easy_cleanup(l->easy);
	curl_multi_cleanup(l->multi);
	http_free(l->http);
	free(l);
}

void
listener_keep(struct listener *l, size_t max)
{
	l->keep = true;
	l->text = SBUF(max);
}

void
listener_stop(struct listener *l)
{
	l->stop = true;
	curl_multi_wakeup(l->multi);
}

void
listener_drop(struct listener *l)
{
	l->drop = true;
	curl_multi_wakeup(l->multi);
}

/* ---- reading ---------------------------------------------------------------------------------------------------------------- */

static void
on_message(void *ctx, const char *event, const char *id)
{
	struct listener *l = ctx;
	struct heard h = { .hello = strcmp(event, "hello") == 0 };

	if (!l->keep && !h.hello && strcmp(event, "change") != 0 && strcmp(event, "resync") != 0)
		return;
	h.has_at = *id && cursor_parse(id, strlen(id), &h.at, NULL) == ERR_OK;
	h.text = l->keep && !l->text.failed ? sbuf_str(&l->text) : "";
	h.len = strlen(h.text);
	l->fn(l->ctx, &h);
}

static bool
is_stream(CURL *easy)
{
	const char *type = NULL;

	curl_easy_getinfo(easy, CURLINFO_CONTENT_TYPE, &type);
	return type && strncasecmp(type, TYPE_EVENTS, strlen(TYPE_EVENTS)) == 0;
}

static size_t
on_bytes(char *p, size_t one, size_t len, void *ctx)
{
	struct listener *l = ctx;

	len *= one;
	l->last_ms = clock_mono_ms();
	curl_easy_getinfo(l->easy, CURLINFO_RESPONSE_CODE, &l->status);
	if (l->status >= 300) {
		sbuf_addn(&l->problem, p, len);
		return l->problem.failed ? 0 : len;
	}
	if (!is_stream(l->easy))
		return 0;
	sse_feed(&l->sse, (const uint8_t *)p, len, on_message, l);
	return len;
}

/* ---- the line --------------------------------------------------------------------------------------------------------------- */

static struct curl_slist *
setup(struct listener *l)
{
	struct curl_slist *head = curl_slist_append(NULL, l->http->auth);

	head = curl_slist_append(head, "Accept: " TYPE_EVENTS ", application/problem+json");
	exchange_line(l->easy, l->http);
	curl_easy_setopt(l->easy, CURLOPT_URL, l->url);
	curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, head);
	curl_easy_setopt(l->easy, CURLOPT_ERRORBUFFER, l->detail);
	curl_easy_setopt(l->easy, CURLOPT_WRITEFUNCTION, on_bytes);
	curl_easy_setopt(l->easy, CURLOPT_WRITEDATA, l);
	curl_easy_setopt(l->easy, CURLOPT_FRESH_CONNECT, 1L); /* whatever ended the one before */
	return head;
}

/* Until the line ends, or somebody has had enough; *code says how it ended by itself. */
static void
listen_on(struct listener *l, CURLcode *code)
{
	int running = 1, left;
	CURLMcode multi = CURLM_OK;
	CURLMsg *msg;

	while (multi == CURLM_OK) {
		int64_t wait_ms;

		multi = curl_multi_perform(l->multi, &running);
		wait_ms = l->last_ms + WATCH_SILENCE_MS - clock_mono_ms();
		if (!running || l->stop || l->drop || wait_ms <= 0)
			break;
		if (multi == CURLM_OK)
			multi = curl_multi_poll(l->multi, NULL, 0, (int)wait_ms, NULL);
	}
	while ((msg = curl_multi_info_read(l->multi, &left)))
		if (msg->msg == CURLMSG_DONE)
			*code = msg->data.result;
}

static err_code
judge(struct listener *l, CURLcode code, struct err *err)
{
	const char *type = NULL;

	if (l->stop)
		return err_set(err, ERR_CANCELLED, "stopped on request");
	if (l->status >= 300) {
		curl_easy_getinfo(l->easy, CURLINFO_CONTENT_TYPE, &type);
		return answer_error((int)l->status, type && strncasecmp(type, "application/problem+json", 24) == 0,
		    (const uint8_t *)sbuf_str(&l->problem), l->problem.len, err);
	}
	if (l->status && !is_stream(l->easy))
		return err_set(err, ERR_PROTOCOL, "what answers is not a dray server's event stream");
	if (l->drop)
		return err_set(err, ERR_NETWORK, "the event stream is made anew");
	if (code == CURLE_OPERATION_TIMEDOUT || code == CURLE_OK || code == CURLE_PARTIAL_FILE)
		return err_set(err, ERR_NETWORK, "the event stream has ended");
	if (code == CURLE_FAILED_INIT) /* taken out before its end */
		return err_set(err, ERR_NETWORK, "the event stream was silent for %d s", WATCH_SILENCE_MS / 1000);
	return err_set(err, ERR_NETWORK, "%s", l->detail[0] ? l->detail : curl_easy_strerror(code));
}

err_code
listener_run(struct listener *l, void (*fn)(void *ctx, const struct heard *h), void *ctx, struct err *err)
{
	struct curl_slist *head;
	CURLcode code = CURLE_FAILED_INIT;
	err_code rc;

	l->sse = (struct sse){ .data = l->keep ? &l->text : NULL };
	if (l->keep)
		sbuf_reset(&l->text);
	l->problem = SBUF(ANSWER_PROBLEM_MAX);
	l->status = 0;
	l->detail[0] = '\0';
	l->fn = fn;
	l->ctx = ctx;
	l->drop = false;
	l->last_ms = clock_mono_ms();
	head = setup(l);
	if (curl_multi_add_handle(l->multi, l->easy) == CURLM_OK)
		listen_on(l, &code);
	rc = judge(l, code, err);
	curl_multi_remove_handle(l->multi, l->easy);
	curl_easy_setopt(l->easy, CURLOPT_HTTPHEADER, NULL);
	curl_slist_free_all(head);
	sbuf_fini(&l->problem);
	return rc;
}
