#include <inttypes.h>

#include "base/clock.h"
#include "base/limits.h"
#include "client/agent_show.h"
#include "wire/json_in.h"

struct agent_view {
	const char *state, *reason;
	int64_t since, passed_at, held, unwatched;
	json_t *held_paths;
};

static err_code
read_view(struct json_in *in, struct agent_view *v, struct err *err)
{
	err_code rc = json_need_str(in, "state", &v->state, NULL, err);

	if (!rc)
		rc = json_get_str(in, "reason", &v->reason, NULL, err);
	if (!rc)
		rc = json_need_time_us(in, "since", &v->since, err);
	if (!rc)
		rc = json_get_time_us(in, "passed_at", &v->passed_at, err);
	if (!rc)
		rc = json_need_i64(in, "held", 0, INT64_MAX, &v->held, err);
	if (!rc)
		rc = json_need_i64(in, "unwatched", 0, INT64_MAX, &v->unwatched, err);
	if (!rc)
		rc = json_need_array(in, "held_paths", CONTROL_HELD_SHOWN, &v->held_paths, err);
	return rc;
}

static void
show_held(struct sbuf *sb, const struct agent_view *v)
{
	size_t n = json_array_size(v->held_paths);

	if (v->held == 0)
		return;
	sbuf_addf(sb, "Writing   %" PRId64 " file%s that somebody writes to, sent when closed:\n", v->held, v->held == 1 ? "" : "s");
	for (size_t i = 0; i < n; i++) {
		const char *path = json_string_value(json_array_get(v->held_paths, i));

		sbuf_add(sb, "  ");
		sbuf_add_visible(sb, path ? path : "");
		sbuf_addc(sb, '\n');
	}
	if ((int64_t)n < v->held)
		sbuf_addf(sb, "  ... and %" PRId64 " more\n", v->held - (int64_t)n);
}

err_code
agent_show(struct sbuf *sb, const struct sbuf *status, struct err *err)
{
	AUTO(jdoc_freep) json_t *doc = NULL;
	struct agent_view v = { 0 };
	struct json_in in;
	char at[RFC3339_MAX];
	err_code rc = json_in_parse((const uint8_t *)sbuf_str(status), status->len, &doc, err);

	if (!rc)
		rc = json_in_object(doc, "", true, &in, err);
	if (!rc)
		rc = read_view(&in, &v, err);
	if (rc)
		return rc;
	sbuf_add(sb, "Agent     ");
	sbuf_add_visible(sb, v.state);
	sbuf_addf(sb, " since %s", rfc3339_us(v.since, at));
	if (v.passed_at)
		sbuf_addf(sb, ", last pass %s", rfc3339_us(v.passed_at, at));
	sbuf_addc(sb, '\n');
	if (v.reason) {
		sbuf_add(sb, "          ");
		sbuf_add_visible(sb, v.reason);
		sbuf_addc(sb, '\n');
	}
	if (v.unwatched)
		sbuf_addf(sb, "          %" PRId64 " directories cannot be watched: raise fs.inotify.max_user_watches\n", v.unwatched);
	show_held(sb, &v);
	return ERR_OK;
}
