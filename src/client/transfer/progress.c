#include "base/clock.h"
#include "client/transfer/transfer_internal.h"

struct transfer_progress *
transfer_progress_new(void)
{
	struct transfer_progress *p = xcalloc(1, sizeof *p);

	mutex_init(&p->mu, RANK_LEAF);
	return p;
}

void
transfer_progress_free(struct transfer_progress *p)
{
	if (!p)
		return;
	for (size_t i = 0; i < WATCHED_MAX; i++)
		free(p->watched[i].path);
	mutex_fini(&p->mu);
	free(p);
}

void
transfer_progress_freep(struct transfer_progress **p)
{
	transfer_progress_free(*p);
}

void
transfer_progress_later(struct transfer_progress *p, uint64_t files, uint64_t bytes)
{
	p->files_later = files;
	p->bytes_later = bytes;
}

void
transfer_progress_read(struct transfer_progress *p, struct transfer_counts *out)
{
	out->files_done = p->files_done;
	out->files_total = p->files_total + p->files_later;
	out->bytes_done = p->bytes_done;
	out->bytes_total = p->bytes_total + p->bytes_later;
	out->bytes_saved = p->bytes_saved;
	/* A file that changed while it was read is sent twice; nobody wants to see 103 %. */
	out->bytes_done = MIN(out->bytes_done, out->bytes_total);
}

void
progress_expect(const struct transfer_env *env, uint64_t files, uint64_t bytes)
{
	if (!env->progress)
		return;
	env->progress->files_total += files;
	env->progress->bytes_total += bytes;
}

/* With the mutex.  NULL when ${who} is not watched; a free place when ${who} is NULL. */
static struct watched *
watched_find(struct transfer_progress *p, const void *who)
{
	for (size_t i = 0; i < WATCHED_MAX; i++)
		if (p->watched[i].who == who)
			return &p->watched[i];
	return NULL;
}

void
progress_watch(const struct transfer_env *env, const void *who, const char *path, uint64_t size)
{
	struct transfer_progress *p = env->progress;
	struct watched *w;

	if (!p || size < WATCH_MIN)
		return;
	mutex_lock(&p->mu);
	w = watched_find(p, who);
	if (!w)
		w = watched_find(p, NULL); /* where there is none, one name less is shown */
	if (w) {
		free(w->path);
		*w = (struct watched){ .who = who, .path = xstrdup(path), .size = size, .since_ms = clock_mono_ms() };
	}
	mutex_unlock(&p->mu);
}

void
progress_unwatch(const struct transfer_env *env, const void *who)
{
	struct transfer_progress *p = env->progress;
	struct watched *w;

	if (!p)
		return;
	mutex_lock(&p->mu);
	w = watched_find(p, who);
	if (w)
		w->who = NULL;
	mutex_unlock(&p->mu);
}

void
progress_bytes(const struct transfer_env *env, const void *who, uint64_t bytes)
{
	struct transfer_progress *p = env->progress;
	struct watched *w;

	if (!p)
		return;
	p->bytes_done += bytes;
	if (!who)
		return;
	mutex_lock(&p->mu);
	w = watched_find(p, who);
	if (w)
		w->done = MIN(w->done + bytes, w->size);
	mutex_unlock(&p->mu);
}

bool
transfer_progress_busy(struct transfer_progress *p, int64_t min_ms, struct transfer_busy *out)
{
	const struct watched *first = NULL;
	int64_t latest = clock_mono_ms() - min_ms;

	out->others = 0;
	mutex_lock(&p->mu);
	for (size_t i = 0; i < WATCHED_MAX; i++) {
		const struct watched *w = &p->watched[i];

		if (!w->who || w->since_ms > latest)
			continue;
		out->others += first != NULL;
		if (!first || w->since_ms < first->since_ms)
			first = w;
	}
	if (first) {
		snprintf(out->path, sizeof out->path, "%s", first->path);
		out->size = first->size;
		out->done = first->done;
	}
	mutex_unlock(&p->mu);
	return first != NULL;
}

void
progress_saved(const struct transfer_env *env, uint64_t bytes)
{
	if (env->progress)
		env->progress->bytes_saved += bytes;
}

void
progress_file(const struct transfer_env *env)
{
	if (env->progress)
		env->progress->files_done++;
}

unsigned
transfer_parallel(const struct transfer_env *env, uint64_t pieces)
{
	unsigned most = env->parallel ? MIN(env->parallel, PARALLEL_MAX) : PARALLEL_DEFAULT;

	return pieces < most ? MAX((unsigned)pieces, 1U) : most;
}

bool
transfer_fatal(err_code code)
{
	switch (code) {
	case ERR_NETWORK:
	case ERR_CANCELLED:
	case ERR_TIMEOUT:
	case ERR_AUTH_REQUIRED:
	case ERR_TOKEN_INVALID:
	case ERR_TOKEN_REVOKED:
	case ERR_FORBIDDEN:
	case ERR_TLS_REQUIRED:
	case ERR_MISDIRECTED:
	case ERR_TOO_MANY_REQUESTS:
	case ERR_TOO_MANY_UPLOADS:
	case ERR_NO_SPACE:
	case ERR_QUOTA:
	case ERR_READ_ONLY:
	case ERR_UNAVAILABLE:
	case ERR_INTERNAL:
	case ERR_NOT_IMPLEMENTED:
	case ERR_NO_MEM:
	case ERR_DB:
		return true;
	default:
		return false;
	}
}
