#include "base/log.h"
#include "server/route/route_internal.h"

static err_code
say(struct call *c, const char *status, struct err *err)
{
	struct sbuf sb = SBUF(256);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kstr(&jw, "status", status);
	jw_end_object(&jw);
	return reply_json(c, 200, &sb, err);
}

err_code
route_health_live(struct call *c, struct err *err)
{
	err_code rc = query_end(c, err);

	return rc ? rc : say(c, "ok", err);
}

/** Why it is not ready is for the log; who asks without a token learns only that it is not. */
err_code
route_health_ready(struct call *c, struct err *err)
{
	err_code rc = query_end(c, err);

	if (rc)
		return rc;
	if (domain_ready(c->d, err)) {
		log_error(err, "not ready");
		return err_set(err, ERR_UNAVAILABLE, "not ready");
	}
	return say(c, "ready", err);
}
