#include "client/watch/agent_internal.h"

#include <unistd.h>

#include "base/clock.h"
#include "base/jw.h"
#include "base/limits.h"

const char *
agent_state(const struct agent *a)
{
	if (a->paused)
		return "paused";
	if (!a->watch)
		return "gone";
	if (a->busy)
		return "syncing";
	if (a->trouble == TROUBLE_TURN)
		return "waiting";
	if (a->trouble == TROUBLE_NONE && !a->heard.online && a->heard.code == ERR_OK)
		return "connecting";
	if (a->trouble == TROUBLE_OFFLINE || !a->heard.online)
		return "offline";
	return a->trouble == TROUBLE_OTHER ? "failing" : "watching";
}

void
agent_note(struct agent *a)
{
	const char *now = agent_state(a);

	if (a->state && strcmp(a->state, now) == 0)
		return;
	a->state = now;
	a->since = clock_wall_us();
}

/* As a path that may not be UTF-8 is shown elsewhere: what cannot be is U+FFFD. */
static void
held_json(const struct agent *a, struct jw *jw)
{
	size_t pos = 0;
	const char *path;

	jw_ku64(jw, "held", quiet_held(a->quiet));
	jw_key(jw, "held_paths");
	jw_array(jw);
	for (size_t n = 0; n < CONTROL_HELD_SHOWN && quiet_each(a->quiet, &pos, &path); n++)
		jw_str(jw, path);
	jw_end_array(jw);
}

void
agent_status(const struct agent *a, struct sbuf *sb)
{
	struct jw jw = JW(sb);
	const char *why = a->trouble != TROUBLE_NONE ? a->why.msg : a->heard.online ? "" : a->heard.why;

	jw_object(&jw);
	jw_ki64(&jw, "pid", getpid());
	jw_kstr(&jw, "state", agent_state(a));
	jw_ktime_us(&jw, "since", a->since);
	jw_kbool(&jw, "online", a->heard.online);
	if (*why)
		jw_kstr(&jw, "reason", why);
	jw_kbool(&jw, "in_sync", a->last.identical);
	if (a->last.synced_at)
		jw_ktime_us(&jw, "synced_at", a->last.synced_at);
	if (a->pass_at)
		jw_ktime_us(&jw, "passed_at", a->pass_at);
	jw_ku64(&jw, "passes", a->passes);
	jw_ku64(&jw, "unsynced", a->last.unsynced);
	held_json(a, &jw);
	jw_ku64(&jw, "directories", a->watch ? tree_watch_count(a->watch) : 0);
	jw_ku64(&jw, "unwatched", a->watch ? tree_watch_missed(a->watch) : 0);
	jw_end_object(&jw);
}
