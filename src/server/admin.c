#include <curl/curl.h>

#include "base/clock.h"
#include "base/log.h"
#include "server/admin.h"
#include "server/service.h"

#define ANSWER_MAX (16 * MIB)
#define START_WAIT_MS 5000 /* between a server taking the lock and saying where it listens */
#define CALL_TIMEOUT_S 60L

static size_t
on_body(char *p, size_t size, size_t n, void *ctx)
{
	struct sbuf *sb = ctx;

	sbuf_addn(sb, p, size * n);
	return sb->failed ? 0 : size * n;
}

static err_code
perform(CURL *curl, struct curl_slist *headers, const char *url, const char *method, const char *body, struct sbuf *answer,
    long *status, struct err *err)
{
	CURLcode code;

	curl_easy_setopt(curl, CURLOPT_URL, url);
	curl_easy_setopt(curl, CURLOPT_CUSTOMREQUEST, method);
	curl_easy_setopt(curl, CURLOPT_HTTPHEADER, headers);
	curl_easy_setopt(curl, CURLOPT_NOPROXY, "*");
	curl_easy_setopt(curl, CURLOPT_TIMEOUT, CALL_TIMEOUT_S);
	curl_easy_setopt(curl, CURLOPT_WRITEFUNCTION, on_body);
	curl_easy_setopt(curl, CURLOPT_WRITEDATA, answer);
	if (body || strcmp(method, "POST") == 0) /* one without a body says so with Content-Length: 0 */
		curl_easy_setopt(curl, CURLOPT_POSTFIELDS, body ? body : "");
	code = curl_easy_perform(curl);
	if (code != CURLE_OK)
		return err_set(err, ERR_NETWORK, "%s: %s", url, curl_easy_strerror(code));
	curl_easy_getinfo(curl, CURLINFO_RESPONSE_CODE, status);
	return ERR_OK;
}

static err_code
request(const char *address, const char *token, const char *method, const char *path, const char *body, struct sbuf *answer,
    long *status, struct err *err)
{
	char url[ADDRESS_MAX + 1024], auth[TOKEN_LEN + 32];
	struct curl_slist *headers = NULL;
	CURL *curl = curl_easy_init();
	err_code rc;

	if (!curl)
		return err_set(err, ERR_NO_MEM, "cannot start a request");
	snprintf(url, sizeof url, "http://%s%s", address, path);
	snprintf(auth, sizeof auth, "Authorization: Bearer %s", token);
	headers = curl_slist_append(headers, auth);
	headers = curl_slist_append(headers, body ? "Content-Type: application/json" : "Content-Type:");
	rc = perform(curl, headers, url, method, body, answer, status, err);
	curl_slist_free_all(headers);
	curl_easy_cleanup(curl);
	return rc;
}

/* "0.0.0.0:8080" is where it listens; on this machine it is reached at the loopback address. */
static void
reachable(char address[static ADDRESS_MAX])
{
	char port[8]; /* ":65535" */
	const char *colon = strrchr(address, ':');

	if (!colon || (strncmp(address, "0.0.0.0:", 8) != 0 && strncmp(address, "[::]:", 5) != 0))
		return;
	snprintf(port, sizeof port, "%s", colon);
	snprintf(address, ADDRESS_MAX, "127.0.0.1%s", port);
}

static err_code
call(const struct data *data, const char *address, const char *method, const char *path, const char *body, struct arena *a,
    struct admin_answer *out, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf answer = SBUF(ANSWER_MAX);
	char token[TOKEN_LEN + 1];
	long status = 0;
	err_code rc = data_token_read(data, token, err);

	if (rc == ERR_OK)
		rc = request(address, token, method, path, body, &answer, &status, err);
	if (rc)
		return rc;
	if (status >= 400)
		return problem_read((int)status, (const uint8_t *)sbuf_str(&answer), answer.len, err);
	out->status = (int)status;
	out->len = answer.len;
	out->body = arena_memdup(a, sbuf_str(&answer), answer.len);
	return out->body || answer.len == 0 ? ERR_OK : err_set(err, ERR_NO_MEM, "the answer is too large");
}

/* Nobody serves: be the server for one request. */
static err_code
call_own(struct data *data, const char *db_url, const char *method, const char *path, const char *body, struct arena *a,
    struct admin_answer *out, struct err *err)
{
	struct service_opts opts = { .db_url = db_url, .listen = "127.0.0.1:0", .workers = 1, .gc_grace_us = GC_GRACE_US, .gc_eager = true };
	struct service *s;
	bool first_start;
	err_code rc = service_open(data, &opts, &s, &first_start, err);

	if (rc)
		return rc;
	rc = call(data, service_address(s), method, path, body, a, out, err);
	service_close(s, 0);
	return rc;
}

/* Somebody serves, or is just starting and has not said where yet. */
static err_code
call_running(struct data *data, const char *db_url, const char *method, const char *path, const char *body, struct arena *a,
    struct admin_answer *out, struct err *err)
{
	const struct timespec pause = { .tv_nsec = 20 * 1000 * 1000 };
	int64_t deadline_ms = clock_mono_ms() + START_WAIT_MS;
	char address[ADDRESS_MAX];
	err_code rc;

	while ((rc = data_address_read(data, address, err)) == ERR_NOT_FOUND && clock_mono_ms() < deadline_ms) {
		nanosleep(&pause, NULL);
		if (data_lock(data, err) == ERR_OK) /* it was another command, and has ended */
			return call_own(data, db_url, method, path, body, a, out, err);
	}
	if (rc)
		return err_set(err, ERR_BUSY, "something holds %s but does not say where it listens", data->path);
	reachable(address);
	return call(data, address, method, path, body, a, out, err);
}

err_code
admin_call(const char *data_dir, bool begin, const char *db_url, const char *method, const char *path, const char *body,
    struct arena *a, struct admin_answer *out, struct err *err)
{
	struct data data;
	err_code rc = begin ? data_open(data_dir, &data, err) : data_open_old(data_dir, &data, err);

	log_setup(LOG_WARN, false);
	curl_global_init(CURL_GLOBAL_DEFAULT);
	if (rc == ERR_OK) {
		rc = begin ? data_lock(&data, err) : data_lock_old(&data, err);
		if (rc == ERR_OK)
			rc = call_own(&data, db_url, method, path, body, a, out, err);
		else if (rc == ERR_BUSY)
			rc = call_running(&data, db_url, method, path, body, a, out, err);
	}
	data_close(&data);
	curl_global_cleanup();
	return rc;
}
