/*
 * What devices say of their downloads, for those who listen: the server sees only single chunks leave.  It goes to the hub and is stored
 * nowhere.
 */
#include "server/notify/notify.h"
#include "server/route/route_internal.h"

err_code
route_progress_report(struct call *c, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct wire_progress *said;
	struct json_in in;
	size_t n;
	err_code rc = query_end(c, err);

	if (!rc)
		rc = call_json(c, &doc, &in, err);
	if (!rc)
		rc = wire_progress_read(&in, c->a, &said, &n, err);
	if (rc)
		return rc;
	for (size_t i = 0; i < n; i++) {
		said[i].device = c->caller.device.id;
		notify_progress(c->route->hub, &c->project, &said[i]);
	}
	http_answer(c->rq, 204, NULL, "", 0);
	return ERR_OK;
}
