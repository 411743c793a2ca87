/*
 * Where fetched files go.  Each is written beside its place under a name that says whose it is, so that a run that was cut short is gone
 * on with; verified by pull; and takes its place in one step.
 */
#include <errno.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pathat.h"
#include "client/get.h"
#include "client/report.h"
#include "client/scan/scan.h"
#include "client/tell.h"

#define PART_PREFIX ".dray-part-"
#define PART_MAX (PATH_LEN_MAX + 64)
#define KEEP_MIN (4 * MIB) /* less than a chunk is not worth a file that is left behind */

/* ---- the temporary --------------------------------------------------------------------------------------------------------------- */

static const char *
part_path(const struct entry *e, char out[static PART_MAX])
{
	const char *slash = strrchr(e->path, '/');
	char id[ID_HEX_LEN + 1];

	snprintf(out, PART_MAX, "%.*s" PART_PREFIX "%s", slash ? (int)(slash - e->path) + 1 : 0, e->path, id_hex(&e->id, id));
	return out;
}

static err_code
open_part(void *ctx, const struct pull_file *f, int *fd, char *name, struct err *err)
{
	struct get *g = ctx;
	char part[PART_MAX];
	struct stat st;
	err_code rc = pathat_open(g->root, part_path(f->want, part), O_RDWR | O_CREAT, 0600, fd, err);

	if (rc)
		return rc;
	memcpy(name, "part", 5);
	if (flock(*fd, LOCK_EX | LOCK_NB) < 0)
		rc = err_set(err, ERR_BUSY, "another dray get is fetching it");
	else if (fstat(*fd, &st) < 0 || !S_ISREG(st.st_mode))
		rc = err_set(err, ERR_EXISTS, "%s is in the way", part);
	else if (ftruncate(*fd, f->resumes ? MIN(st.st_size, f->want->size) : 0) < 0)
		rc = err_errno(err, "%s", part);
	if (rc) {
		closep(fd);
		*fd = -1;
	}
	return rc;
}

/* ---- taking its place ------------------------------------------------------------------------------------------------------------ */

static err_code
set_meta(int fd, const struct entry *e, mode_t mask, struct err *err)
{
	struct timespec times[2] = { { .tv_nsec = UTIME_OMIT } };
	int64_t sec = e->mtime_ns / 1000000000, ns = e->mtime_ns % 1000000000;

	times[1] = (struct timespec){ .tv_sec = ns < 0 ? sec - 1 : sec, .tv_nsec = ns < 0 ? ns + 1000000000 : ns };
	if (fchmod(fd, e->mode & 0777 & ~mask) < 0 || futimens(fd, times) < 0)
		return err_errno(err, "%s", e->path);
	return ERR_OK;
}

static err_code
place(struct get *g, const struct entry *e, struct err *err)
{
	AUTO(closep) int fd = -1;
	bool force = command_has(g->line, 'f');
	char part[PART_MAX];
	err_code rc = pathat_open(g->root, part_path(e, part), O_RDWR, 0, &fd, err);

	if (rc == ERR_OK)
		rc = set_meta(fd, e, g->mask, err);
	/* What is replaced must not be lost before the new one is durable. */
	if (rc == ERR_OK && force && fsync(fd) < 0)
		rc = err_errno(err, "fsync %s", e->path);
	if (rc == ERR_OK)
		rc = pathat_rename(g->root, part, g->root, e->path, force ? 0 : RENAME_NOREPLACE, err);
	if (rc == ERR_EXISTS)
		rc = err_set(err, ERR_EXISTS, "it was made here meanwhile; --force replaces it");
	return rc;
}

static void
drop_part(struct get *g, const struct entry *e)
{
	char part[PART_MAX];
	struct err ignored;

	(void)!pathat_unlink(g->root, part_path(e, part), 0, &ignored);
}

static bool
ends_all(err_code code)
{
	return code == ERR_CANCELLED || code == ERR_NETWORK || code == ERR_NO_SPACE || code == ERR_UNAVAILABLE || code == ERR_TIMEOUT ||
	    code == ERR_NO_MEM;
}

static err_code
landed(void *ctx, const struct pull_file *f, const char *name, err_code code, const struct err *why, struct err *err)
{
	struct get *g = ctx;
	struct err own = { 0 };

	if (code == ERR_OK) {
		code = place(g, f->want, &own);
		why = &own;
	}
	if (code == ERR_OK) {
		g->outcome.done++;
		g->outcome.bytes += (uint64_t)f->want->size;
		return ERR_OK;
	}
	if (name && (!ends_all(code) || (uint64_t)f->want->size < KEEP_MIN))
		drop_part(g, f->want);
	if (ends_all(code)) {
		*err = *why;
		return code;
	}
	outcome_problem(&g->outcome, f->want->path, err_info(code)->code, why ? why->msg : "");
	return ERR_OK;
}

/* ---- one entry ------------------------------------------------------------------------------------------------------------------- */

static const struct entry *
keep(struct get *g, const struct entry *e)
{
	struct entry *kept = arena_must(g->arena, sizeof *kept);

	*kept = *e;
	kept->path = arena_strdup(g->arena, e->path);
	kept->target = arena_strdup(g->arena, e->target ? e->target : "");
	return kept;
}

static void
refuse(struct get *g, const struct entry *e, const char *why)
{
	outcome_problem(&g->outcome, e->path, "exists", why);
}

static err_code
get_dir(struct get *g, const struct entry *e, const struct entry *local, struct err *err)
{
	err_code rc = ERR_OK;

	if (local && local->kind != ENTRY_DIR) {
		refuse(g, e, "it is not a folder here");
		return ERR_OK;
	}
	if (local)
		return ERR_OK;
	rc = pathat_mkdir(g->root, e->path, 0700, err);
	if (rc)
		return rc;
	if (g->dir_n == g->dir_cap) {
		g->dir_cap = MAX(64, 2 * g->dir_cap);
		g->dirs = xrealloc(g->dirs, g->dir_cap * sizeof *g->dirs);
	}
	g->dirs[g->dir_n++] = keep(g, e);
	return ERR_OK;
}

static err_code
get_link(struct get *g, const struct entry *e, const struct entry *local, struct err *err)
{
	err_code rc = ERR_OK;

	if (local && local->kind == ENTRY_LINK && strcmp(local->target, e->target) == 0) {
		g->outcome.unchanged++;
		return ERR_OK;
	}
	if (local && (local->kind == ENTRY_DIR || !command_has(g->line, 'f'))) {
		refuse(g, e, local->kind == ENTRY_DIR ? "it is a folder here" : "it is here and differs; --force replaces it");
		return ERR_OK;
	}
	if (local)
		rc = pathat_unlink(g->root, e->path, 0, err);
	if (rc == ERR_OK)
		rc = pathat_symlink(g->root, e->path, e->target, err);
	if (rc == ERR_OK)
		rc = pathat_mtime(g->root, e->path, e->mtime_ns, err);
	g->outcome.done += rc == ERR_OK;
	return rc;
}

/* Same size and time, as rsync looks at it, or the same bytes. */
static bool
is_here(struct get *g, const struct entry *e, const struct entry *local)
{
	struct entry hashed;
	struct err ignored;

	if (local->kind != ENTRY_FILE || local->size != e->size)
		return false;
	if (local->mtime_ns == e->mtime_ns)
		return true;
	return scan_hash(g->root, local, clock_wall_ns(), cli_cancel(), &hashed, &ignored) == ERR_OK && hash_eq(&hashed.content, &e->content);
}

static void
want_file(struct get *g, const struct entry *e)
{
	char part[PART_MAX];
	struct err ignored;
	struct stat st;

	if (g->n == g->cap) {
		g->cap = MAX(64, 2 * g->cap);
		g->files = xrealloc(g->files, g->cap * sizeof *g->files);
	}
	g->files[g->n++] = (struct pull_file){
		.want = keep(g, e),
		.resumes = pathat_stat(g->root, part_path(e, part), &st, &ignored) == ERR_OK,
	};
}

static err_code
get_file(struct get *g, const struct entry *e, const struct entry *local, struct err *err)
{
	(void)err;
	if (!local)
		want_file(g, e);
	else if (is_here(g, e, local))
		g->outcome.unchanged++;
	else if (local->kind == ENTRY_DIR)
		refuse(g, e, "it is a folder here");
	else if (!command_has(g->line, 'f'))
		refuse(g, e, "it is here and differs; --force replaces it");
	else
		want_file(g, e);
	return ERR_OK;
}

err_code
get_entry(struct get *g, const struct entry *e, struct err *err)
{
	struct entry at;
	const struct entry *local = &at;
	struct err why;
	err_code rc;

	if (flag_is_set(cli_cancel()))
		return err_set(err, ERR_CANCELLED, "stopped on request");
	rc = scan_stat(g->root, e->path, clock_wall_ns(), g->arena, &at, &why);
	if (rc == ERR_NOT_FOUND) {
		local = NULL;
		rc = ERR_OK;
	}
	if (rc == ERR_OK)
		rc = (e->kind == ENTRY_DIR ? get_dir : e->kind == ENTRY_LINK ? get_link : get_file)(g, e, local, &why);
	if (ends_all(rc)) {
		*err = why;
		return rc;
	}
	if (rc)
		outcome_problem(&g->outcome, e->path, err_info(rc)->code, why.msg);
	return ERR_OK;
}

/* ---- all of them ----------------------------------------------------------------------------------------------------------------- */

/* The deepest first: what is made in a directory moves its time. */
static void
finish_dirs(struct get *g)
{
	for (size_t i = g->dir_n; i-- > 0;) {
		const struct entry *e = g->dirs[i];
		AUTO(closep) int fd = -1;
		struct err why;
		err_code rc = pathat_open(g->root, e->path, O_RDONLY | O_DIRECTORY, 0, &fd, &why);

		if (rc == ERR_OK)
			rc = set_meta(fd, e, g->mask, &why);
		if (rc)
			outcome_problem(&g->outcome, e->path, err_info(rc)->code, why.msg);
		else
			g->outcome.done++;
	}
}

err_code
get_files(struct get *g, struct report *report, struct err *err)
{
	struct scratch *scratch;
	struct tell *tell;
	struct transfer_counts counts;
	struct transfer_env env = { .root = g->root, .remote = g->session->remote, .cancel = cli_cancel(), .ctx = g };
	err_code rc = cli_parallel(g->line, &env.parallel, err);

	if (rc == ERR_OK && g->n > 0)
		rc = scratch_open(NULL, &scratch, err);
	if (rc == ERR_OK && g->n > 0) {
		g->ops = xcalloc(g->n, sizeof *g->ops);
		for (size_t i = 0; i < g->n; i++) {
			g->ops[i] = (struct plan_op){ .act = ACT_PULL, .path = g->files[i].want->path, .remote = g->files[i].want };
			g->files[i].op = &g->ops[i];
		}
		env.state = scratch->state;
		env.progress = transfer_progress_new();
		report_start(report, "Receiving", env.progress);
		tell = tell_start(env.remote, env.progress, g->n == 1 ? g->files[0].want->path : NULL);
		rc = pull_run(&env, g->files, g->n, open_part, landed, err);
		tell_stop(tell, rc == ERR_OK);
		report_stop(report);
		transfer_progress_read(env.progress, &counts);
		g->outcome.saved = counts.bytes_saved;
		transfer_progress_free(env.progress);
		scratch_free(scratch, false);
		free(TAKE(g->ops));
	}
	finish_dirs(g);
	if (rc == ERR_OK && syncfs(g->root) < 0)
		rc = err_errno(err, "flush %s", g->to);
	return rc;
}
