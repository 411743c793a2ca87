/*
 * Who takes part in the project, and telling them how far we are.
 */
#include "client/remote/requests.h"

#define PROGRESS_TEXT_MAX (512 * KIB) /* PROGRESS_PER_DEVICE_MAX paths of control characters */

err_code
request_devices(struct remote *base, struct arena *a, struct wire_device **out, size_t *n, struct cursor *project, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf text = SBUF(ANSWER_JSON_MAX);
	char path[REQUEST_PATH_MAX];
	struct http_call c = { .method = "GET", .path = request_path(r, path, "/devices"), .accept = TYPE_JSON, .text = &text };
	err_code rc = request_run(r, &c, err);

	if (rc)
		return rc;
	rc = wire_devices_read((const uint8_t *)sbuf_str(&text), text.len, a, out, n, project, err);
	return rc ? answer_bad(err, "the list of devices") : ERR_OK;
}

err_code
request_progress(struct remote *base, const struct wire_progress *p, size_t n, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf body = SBUF(PROGRESS_TEXT_MAX);
	struct jw jw = JW(&body);
	char path[REQUEST_PATH_MAX];
	struct http_call c = { .method = "POST", .path = request_path(r, path, "/progress"), .type = TYPE_JSON, .aside = true };
	err_code rc;

	wire_progress_report(&jw, p, n);
	rc = sbuf_done(&body, err);
	if (rc)
		return rc;
	c.body = body.s;
	c.body_len = body.len;
	return request_run(r, &c, err);
}
