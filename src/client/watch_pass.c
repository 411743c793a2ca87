#include <malloc.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/log.h"
#include "base/num.h"
#include "base/thread.h"
#include "client/confine.h"
#include "client/watch_pass.h"

#define SAID_MAX 10000 /* problems that are remembered as told */
#define SAY_MAX 20     /* of one pass */
#define FIELDS_MAX 16

struct watch_folder {
	char *path;
	struct watch_opts opts;
	struct arena *arena;    /* owns the text of link and token */
	struct state_link link;
	const char *token;
	struct remote *remote;  /* kept between passes; NULL: none yet, or the line has failed */
	struct report *report;  /* a silent one */
	struct map *said;       /* problems that have been told: path and reason */
	uint64_t said_deletes, said_there;
	int64_t held_ms;        /* when the server has held deletions, 0: it has not */
	bool said_in_step, said_unconfined;
};

err_code
watch_folder_open(const char *path, const struct watch_opts *opts, struct watch_folder **out, struct err *err)
{
	struct watch_folder *w = xcalloc(1, sizeof *w);
	err_code rc;

	w->path = xstrdup(path);
	w->opts = *opts;
	w->arena = arena_new(64 * KIB);
	w->said = map_new();
	w->report = report_new(&(struct report_opts){ .quiet = true });
	rc = folder_peek(path, w->arena, &w->link, &w->token, err);
	if (rc) {
		watch_folder_free(w);
		return rc;
	}
	*out = w;
	return ERR_OK;
}

void
watch_folder_free(struct watch_folder *w)
{
	if (!w)
		return;
	remote_free(w->remote);
	report_free(w->report);
	map_free(w->said);
	arena_free(w->arena);
	free(w->path);
	free(w);
}

/* ---- the log ------------------------------------------------------------------------------------------------------------------ */

static void
add_count(struct log_field *f, size_t *n, const char *key, uint64_t count)
{
	if (count)
		f[(*n)++] = LOG_U64(key, count);
}

static void
say_done(struct watch_folder *w, const struct sync_result *r)
{
	struct log_field f[FIELDS_MAX];
	char up[SIZE_HUMAN_MAX], down[SIZE_HUMAN_MAX];
	size_t n = 0, before;

	f[n++] = LOG_STR("folder", w->path);
	before = n;
	add_count(f, &n, "sent", r->pushed);
	add_count(f, &n, "fetched", r->pulled);
	add_count(f, &n, "moved_there", r->moved_remote);
	add_count(f, &n, "moved_here", r->moved_local);
	add_count(f, &n, "deleted_there", r->deleted_remote);
	add_count(f, &n, "deleted_here", r->deleted_local);
	add_count(f, &n, "dropped_here", r->dropped);
	add_count(f, &n, "conflicts", r->conflict_count);
	if (n == before)
		return;
	f[n++] = LOG_STR("up", size_human(r->line.bytes_up, up));
	f[n++] = LOG_STR("down", size_human(r->line.bytes_down, down));
	f[n++] = LOG_I64("ms", r->elapsed_ms);
	log_write(LOG_INFO, "synced", f, n);
	for (size_t i = 0; i < r->conflict_count && i < SAY_MAX; i++)
		log_event(LOG_WARN, "changed on both sides; both are kept", LOG_STR("folder", w->path),
		    LOG_STR("path", r->conflicts[i].path), LOG_STR("yours", r->conflicts[i].copy));
}

/* What another pass settles by itself is not worth a word. */
static bool
is_passing(const struct problem *p)
{
	static const char *const reasons[] = { "busy", "file_busy", "changing", "digest_differs", NULL };

	for (size_t i = 0; reasons[i]; i++)
		if (strcmp(p->reason, reasons[i]) == 0)
			return true;
	return false;
}

/* Whether the problem has not been told yet. */
static bool
is_news(struct watch_folder *w, const struct problem *p)
{
	AUTO(sbuf_fini) struct sbuf key = SBUF(16 * KIB);

	sbuf_addf(&key, "%s%c%s", p->path, '\0', p->reason);
	return map_count(w->said) < SAID_MAX && !map_put(w->said, sbuf_str(&key), key.len, w);
}

static void
say_problems(struct watch_folder *w, const struct sync_result *r)
{
	size_t news = 0;

	if (r->problem_count == 0 && map_count(w->said) > 0) {
		map_free(w->said);
		w->said = map_new();
	}
	for (size_t i = 0; i < r->problem_count; i++) {
		const struct problem *p = &r->problems[i];
		if (is_passing(p) || !is_news(w, p) || ++news > SAY_MAX)
			continue;
		log_event(LOG_WARN, "not synced", LOG_STR("folder", w->path), LOG_STR("path", p->path), LOG_STR("reason", p->reason),
		    LOG_STR("detail", p->detail));
	}
	if (news > SAY_MAX)
		log_event(LOG_WARN, "not synced, and more: dray status lists them", LOG_STR("folder", w->path),
		    LOG_U64("more", news - SAY_MAX));
	for (size_t i = 0; i < r->kept_count && i < SAY_MAX; i++)
		log_event(LOG_INFO, "deleted on the server, and still here for what is ignored in it", LOG_STR("folder", w->path),
		    LOG_STR("path", r->kept[i]));
}

static void
say_held(struct watch_folder *w, const struct sync_result *r)
{
	if (r->held_deletes && r->held_deletes != w->said_deletes)
		log_event(LOG_WARN, "so many deletions at once may be a mistake: they are held back until dray sync --allow-mass-delete",
		    LOG_STR("folder", w->path), LOG_U64("deletions", r->held_deletes));
	if (r->held_there && r->held_there != w->said_there)
		log_event(LOG_WARN, "so many deletions within an hour may be a mistake: the server holds them until dray sync --allow-mass-delete",
		    LOG_STR("folder", w->path), LOG_U64("deletions", r->held_there));
	w->said_deletes = r->held_deletes;
	w->said_there = r->held_there;
}

static void
say(struct watch_folder *w, const struct agent_pass *p, const struct sync_result *r)
{
	char size[SIZE_HUMAN_MAX];

	say_problems(w, r);
	say_held(w, r);
	if (r->renewed)
		log_event(LOG_WARN, "its state was begun anew, and both sides were compared anew", LOG_STR("folder", w->path),
		    LOG_STR("why", r->renewed));
	if (r->copied)
		log_event(LOG_WARN, "the folder is a copy of the one that was linked: both sides were united", LOG_STR("folder", w->path));
	if (p->verify)
		log_event(LOG_INFO, "every file was read", LOG_STR("folder", w->path), LOG_U64("unsynced", r->problem_count),
		    LOG_I64("ms", r->elapsed_ms));
	if (!r->identical || w->said_in_step)
		return;
	w->said_in_step = true;
	log_event(LOG_INFO, "identical to the server", LOG_STR("folder", w->path), LOG_U64("entries", r->entries),
	    LOG_STR("size", size_human(r->bytes, size)), LOG_U64("ignored_here", r->ignored), LOG_U64("left_out", r->left_out));
}

/* ---- the pass ----------------------------------------------------------------------------------------------------------------- */

static bool
same_link(const struct watch_folder *w, const struct folder *f)
{
	return strcmp(w->link.url, f->link.url) == 0 && id_eq(&w->link.project, &f->link.project) && strcmp(w->token, f->token) == 0;
}

static err_code
reach(struct watch_folder *w, struct folder *f, const bool *cancel, struct err *err)
{
	struct line_opts line = { .retry_ms = WATCH_LINE_MS, .rate = w->opts.rate, .cancel = cancel };

	if (!same_link(w, f))
		return err_set(err, ERR_NOT_LINKED, "the folder has been linked anew: start dray watch again");
	return w->remote ? ERR_OK : folder_remote(f, &line, &w->remote, err);
}

static bool
is_unsettled(const struct sync_result *r)
{
	for (size_t i = 0; i < r->problem_count; i++)
		if (is_passing(&r->problems[i]))
			return true;
	return false;
}

static void
fill(struct agent_done *done, const struct sync_result *r)
{
	*done = (struct agent_done){
		.has_at = r->place.known,
		.at = { .clock = r->place.clock, .epoch = r->place.epoch, .has_epoch = true },
		.identical = r->identical,
		.again = is_unsettled(r),
		.synced_at = r->place.synced_at,
		.unsynced = r->problem_count + r->held_deletes + r->held_there,
	};
}

/* The server is not asked again at every turn whether it still holds what it has held. */
static bool
deletes_wait(const struct watch_folder *w)
{
	return w->held_ms != 0 && clock_mono_ms() - w->held_ms < WATCH_PASS_MS;
}

static void
note_held(struct watch_folder *w, const struct sync_opts *opts, const struct sync_result *r)
{
	if (r->held_there == 0)
		w->held_ms = 0;
	else if (!opts->deletes_wait)
		w->held_ms = clock_mono_ms();
}

/* Opening a folder that has been unlinked would make it one again. */
static err_code
still_linked(const struct watch_folder *w, struct err *err)
{
	AUTO(freep) char *found = NULL;
	err_code rc = folder_find(w->path, &found, err);

	if (rc == ERR_OK && strcmp(found, w->path) != 0)
		rc = err_set(err, ERR_NOT_LINKED, "%s is not linked any more", w->path);
	return rc;
}

/* To the directory that has just been opened: the one that was there at the last pass may have been replaced. */
static void
confine(struct watch_folder *w, const struct folder *f)
{
	struct err err;

	if (confine_to(f->root, &err) == ERR_OK || err.code == ERR_NOT_IMPLEMENTED || w->said_unconfined)
		return;
	w->said_unconfined = true;
	log_error(&err, "the kernel does not help to stay in the folder");
}

static err_code
pass_here(struct watch_folder *w, const struct agent_pass *p, struct agent_done *out, struct err *err)
{
	AUTO(folder_freep) struct folder *f = NULL;
	struct sync_opts opts = { .verify = p->verify, .held = p->held, .cancel = p->cancel, .parallel = w->opts.parallel,
		.report = w->report };
	struct sync_result result;
	err_code rc = still_linked(w, err);

	if (rc == ERR_OK)
		rc = folder_open(w->path, &f, err);
	if (rc == ERR_OK)
		confine(w, f);
	if (rc == ERR_OK)
		rc = reach(w, f, p->cancel, err);
	if (rc)
		return rc;
	opts.remote = w->remote;
	opts.deletes_wait = deletes_wait(w);
	rc = sync_run(f, &opts, &result, err);
	say_done(w, &result); /* what was done before it failed is worth a line too */
	if (rc == ERR_OK) {
		say(w, p, &result);
		note_held(w, &opts, &result);
		fill(out, &result);
	} else if (rc == ERR_NETWORK) {
		remote_free(TAKE(w->remote)); /* its connections may be dead without knowing it, as after a sleep */
	}
	sync_result_fini(&result);
	malloc_trim(0); /* what a large pass needed is not kept through days of small ones */
	return rc;
}

struct confined {
	struct watch_folder *folder;
	const struct agent_pass *job;
	struct agent_done *done;
	struct err *err;
	err_code rc;
};

static void *
pass_confined(void *arg)
{
	struct confined *c = arg;

	c->rc = pass_here(c->folder, c->job, c->done, c->err);
	return NULL;
}

/* In a thread of its own, since a thread that is confined to a folder can never work on another one that took its place. */
static err_code
pass(void *ctx, const struct agent_pass *p, struct agent_done *out, struct err *err)
{
	struct confined c = { .folder = ctx, .job = p, .done = out, .err = err };
	pthread_t thread;
	err_code rc = thread_start("confined", pass_confined, &c, &thread, err);

	if (rc)
		return rc;
	pthread_join(thread, NULL);
	return c.rc;
}

void
watch_folder_agent(struct watch_folder *w, struct agent_opts *out)
{
	*out = (struct agent_opts){
		.path = w->path,
		.line = { .url = w->link.url, .token = w->token, .project = w->link.project },
		.pass = pass,
		.ctx = w,
	};
}
