#include "client/transfer/transfer_internal.h"

struct transfer_progress *
transfer_progress_new(void)
{
	return xcalloc(1, sizeof(struct transfer_progress));
}

void
transfer_progress_free(struct transfer_progress *p)
{
	free(p);
}

void
transfer_progress_read(struct transfer_progress *p, struct transfer_counts *out)
{
	out->files_done = p->files_done;
	out->files_total = p->files_total;
	out->bytes_done = p->bytes_done;
	out->bytes_total = p->bytes_total;
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

void
progress_bytes(const struct transfer_env *env, uint64_t bytes)
{
	if (env->progress)
		env->progress->bytes_done += bytes;
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
transfer_parallel(const struct transfer_env *env)
{
	return env->parallel ? MIN(env->parallel, PARALLEL_MAX) : PARALLEL_DEFAULT;
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
