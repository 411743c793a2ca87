#include <inttypes.h>

#include "client/device_show.h"
#include "client/report.h"

#define SECOND INT64_C(1000000)

void
ago_add(struct sbuf *sb, int64_t us)
{
	int64_t s = MAX(us, 0) / SECOND;

	if (s < 120)
		sbuf_addf(sb, "%" PRId64 " s", s);
	else if (s < 120 * 60)
		sbuf_addf(sb, "%" PRId64 " min", s / 60);
	else if (s < 48 * 3600)
		sbuf_addf(sb, "%" PRId64 " h", s / 3600);
	else
		sbuf_addf(sb, "%" PRId64 " days", s / (24 * 3600));
}

void
device_place_add(struct sbuf *sb, const struct wire_device *d, int64_t now_us)
{
	if (!d->has_at) {
		sbuf_add(sb, "never synced");
		return;
	}
	if (d->lag_us < 0) {
		sbuf_add(sb, "of an older history: will list again");
		return;
	}
	if (d->lag_us == 0) {
		sbuf_add(sb, "in sync");
		return;
	}
	if (d->lag_changes > 0)
		sbuf_addf(sb, "%" PRId64 "%s change%s behind", d->lag_changes, d->lag_changes >= LAG_CHANGES_MAX ? " or more" : "",
		    d->lag_changes == 1 ? "" : "s");
	else
		sbuf_add(sb, "behind");
	if (d->behind_since > 0) {
		sbuf_add(sb, " for ");
		ago_add(sb, now_us - d->behind_since);
	}
}

void
device_json(struct jw *jw, const struct wire_device *d)
{
	char cursor[CURSOR_MAX];

	jw_object(jw);
	jw_kid(jw, "id", &d->id);
	jw_kstr(jw, "name", d->name);
	jw_kstr(jw, "role", d->role);
	jw_kbool(jw, "connected", d->connected);
	jw_kbool(jw, "in_sync", d->lag_us == 0);
	jw_kstr(jw, "cursor", d->has_at ? cursor_format(&d->at, cursor) : NULL);
	jw_kopt_i64(jw, "lag_us", d->lag_us >= 0, d->lag_us);
	jw_kopt_i64(jw, "lag_changes", d->lag_changes >= 0, d->lag_changes);
	jw_kopt_time_us(jw, "behind_since", d->behind_since != 0, d->behind_since);
	jw_kopt_time_us(jw, "last_seen_at", d->last_seen_at != 0, d->last_seen_at);
	jw_end_object(jw);
}
