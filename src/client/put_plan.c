/*
 * What is to be sent: the walk of the source joined with the server's listing.
 */
#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/pathat.h"
#include "client/feed.h"
#include "client/listing.h"
#include "client/put.h"
#include "client/scan/scan.h"

#define POLL_MS 100
#define SPOOL_PIECE (1 * MIB)

/* ---- text ------------------------------------------------------------------------------------------------------------------------ */

static const char *
join(struct put *p, const char *dir, const char *name)
{
	if (!*dir || !*name)
		return arena_strdup(p->arena, *dir ? dir : name);
	return arena_printf(p->arena, "%s/%s", dir, name);
}

static struct entry *
keep(struct put *p, const struct entry *e, const char *path)
{
	struct entry *kept = arena_must(p->arena, sizeof *kept);

	*kept = *e;
	kept->path = arena_strdup(p->arena, path);
	kept->target = arena_strdup(p->arena, e->target ? e->target : "");
	return kept;
}

/* ---- the server's side ----------------------------------------------------------------------------------------------------------- */

static void
remember(struct put *p, const struct wire_file *f)
{
	struct entry e = feed_entry(f);
	struct entry *kept = keep(p, &e, f->path);

	map_put(p->there, kept->path, strlen(kept->path), kept);
}

static err_code
listed(void *ctx, const struct wire_file *f, struct err *err)
{
	(void)err;
	remember(ctx, f);
	return ERR_OK;
}

/* *dir: whether ${path} is a directory there; remembers what it is. */
static err_code
look(struct put *p, const char *path, bool *dir, struct err *err)
{
	struct wire_file *files;
	size_t n;
	err_code rc;

	*dir = *path == '\0';
	if (*dir)
		return ERR_OK;
	rc = remote_at(p->session->remote, path, p->arena, &files, &n, err);
	if (rc == ERR_NOT_FOUND || (rc == ERR_OK && files[0].deleted))
		return ERR_OK;
	if (rc)
		return rc;
	*dir = files[0].kind == ENTRY_DIR;
	remember(p, &files[0]);
	return ERR_OK;
}

/* As cp has it: into a directory that is there, or that a slash says is one; else by that name. */
static err_code
choose_target(struct put *p, const char *name, struct err *err)
{
	const char *typed = p->line->arg_count > 1 ? p->line->args[1] : NULL, *to = p->session->here;
	bool dir = true;
	err_code rc = ERR_OK;

	if (typed)
		rc = session_path(p->session, typed, &to, err);
	if (rc == ERR_OK)
		rc = look(p, to, &dir, err);
	if (rc)
		return rc;
	if (!typed || dir || typed[strlen(typed) - 1] == '/') {
		if (!name)
			return err_set(err, ERR_USAGE, "what is it to be called? dray put - PATH");
		to = join(p, to, name);
		rc = look(p, to, &dir, err);
	}
	p->to = to;
	return rc ? rc : path_ok(to, strlen(to), err);
}

/* ---- operations ------------------------------------------------------------------------------------------------------------------ */

static void
add(struct put *p, const struct plan_op *op)
{
	if (p->n == p->cap) {
		p->cap = MAX(64, 2 * p->cap);
		p->ops = xrealloc(p->ops, p->cap * sizeof *p->ops);
	}
	p->ops[p->n++] = *op;
}

/* As rsync looks at it: same size, time and mode, same file. */
static bool
unchanged(const struct entry *local, const struct entry *remote)
{
	switch (local->kind) {
	case ENTRY_DIR:
		return true;
	case ENTRY_LINK:
		return strcmp(local->target, remote->target) == 0;
	default:
		return local->size == remote->size && local->mtime_ns == remote->mtime_ns && local->mode == remote->mode;
	}
}

/* ${e} is at ${e->path} beneath the root, and is to be at ${as} in the project. */
static void
add_entry(struct put *p, const struct entry *e, const char *as)
{
	struct entry *remote = map_get(p->there, as, strlen(as)), *local = keep(p, e, e->path);
	struct plan_op op = { .act = ACT_PUSH, .path = local->path, .as = arena_strdup(p->arena, as), .local = local,
		.remote = remote, .base = remote };
	struct err why;

	if (path_ok(as, strlen(as), &why))
		outcome_problem(&p->outcome, e->path, err_info(why.code)->code, why.msg);
	else if (remote && remote->kind != e->kind)
		outcome_problem(&p->outcome, e->path, "exists", "something of another kind is there");
	else if (remote && unchanged(e, remote))
		p->outcome.unchanged++;
	else
		add(p, &op);
}

/* The directories above the target that are not there yet. */
static err_code
add_parents(struct put *p, struct err *err)
{
	size_t len = strlen(p->to);
	const char *dirs[PATH_DEPTH_MAX];
	size_t n = 0;
	bool there = false;

	while (n < PATH_DEPTH_MAX) {
		const char *slash = memrchr(p->to, '/', len);
		err_code rc;

		if (!slash)
			break;
		len = (size_t)(slash - p->to);
		dirs[n] = arena_strndup(p->arena, p->to, len);
		rc = look(p, dirs[n], &there, err);
		if (rc)
			return rc;
		if (there)
			break;
		if (map_get(p->there, dirs[n], len))
			return err_set(err, ERR_PARENT_NOT_DIRECTORY, "%s is not a directory in the project", dirs[n]);
		n++;
	}
	while (n-- > 0) {
		struct entry dir = { .kind = ENTRY_DIR, .mode = 0755, .mtime_ns = clock_wall_ns(), .content_known = true, .path = dirs[n],
			.target = "" };

		add_entry(p, &dir, dirs[n]);
	}
	return ERR_OK;
}

/* ---- this disk's side ------------------------------------------------------------------------------------------------------------ */

static err_code
found(void *ctx, const struct entry *e, struct err *err)
{
	struct put *p = ctx;

	(void)err;
	add_entry(p, e, join(p, p->to, e->path));
	return ERR_OK;
}

static void
skipped(void *ctx, const struct scan_problem *problem)
{
	struct put *p = ctx;

	outcome_problem(&p->outcome, problem->path, problem->reason, "");
}

static void
scanned(void *ctx, uint64_t entries)
{
	report_count(ctx, "Scanning", entries);
}

static err_code
plan_tree(struct put *p, struct err *err)
{
	struct scan_opts opts = { .root = p->root, .now_ns = clock_wall_ns(), .cancel = cli_cancel(), .progress = scanned, .ctx = p->report };
	struct entry *remote = map_get(p->there, p->to, strlen(p->to)), top = { .kind = ENTRY_DIR, .path = "", .target = "" };
	struct stat st;
	err_code rc = ERR_OK;

	if (remote && remote->kind != ENTRY_DIR)
		return err_set(err, ERR_NAME_EXISTS, "%s is not a directory in the project", p->to);
	if (remote || !*p->to)
		rc = listing_tree(p->session->remote, p->to, NULL, listed, p, err);
	if (rc)
		return rc;
	if (*p->to && !remote) {
		if (fstat(p->root, &st) < 0)
			return err_errno(err, "%s", p->source);
		top.mode = st.st_mode & 0777;
		top.mtime_ns = stat_mtime_ns(&st);
		top.content_known = true;
		add_entry(p, &top, p->to);
	}
	rc = scan_walk(&opts, found, skipped, p, err);
	report_clear(p->report);
	return rc;
}

static err_code
plan_one(struct put *p, const char *name, struct err *err)
{
	struct entry e;
	err_code rc = scan_stat(p->root, name, clock_wall_ns(), p->arena, &e, err);

	if (rc)
		return err_wrap(err, "%s", p->source);
	add_entry(p, &e, p->to);
	if (p->outcome.problem_count)
		return err_set(err, ERR_NAME_EXISTS, "%s is a directory in the project", p->to);
	return ERR_OK;
}

/* ---- standard input -------------------------------------------------------------------------------------------------------------- */

/* Waits so that it notices when it is called off; false at the end. */
static err_code
read_some(uint8_t *buf, size_t cap, size_t *got, struct err *err)
{
	struct pollfd in = { .fd = STDIN_FILENO, .events = POLLIN };
	ssize_t n;

	for (;;) {
		if (flag_is_set(cli_cancel()))
			return err_set(err, ERR_CANCELLED, "stopped on request");
		if (poll(&in, 1, POLL_MS) <= 0)
			continue;
		n = read(STDIN_FILENO, buf, cap);
		if (n >= 0) {
			*got = (size_t)n;
			return ERR_OK;
		}
		if (errno != EINTR && errno != EAGAIN)
			return err_errno(err, "standard input");
	}
}

/* Its size must be known before it is sent, and a retry must find it again: so it goes to the disk first. */
static err_code
spool(struct put *p, struct err *err)
{
	AUTO(freep) uint8_t *buf = xmalloc(SPOOL_PIECE);
	AUTO(closep) int fd = -1;
	size_t got;
	err_code rc = pathat_open(p->scratch->fd, PUT_STDIN, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err);

	while (rc == ERR_OK && (rc = read_some(buf, SPOOL_PIECE, &got, err)) == ERR_OK && got > 0)
		rc = write_full(fd, buf, got, err);
	if (rc == ERR_OK && fchmod(fd, 0644) < 0)
		rc = err_errno(err, "spool");
	return rc ? err_wrap(err, "spool standard input") : ERR_OK;
}

/* ---- all of it ------------------------------------------------------------------------------------------------------------------- */

static err_code
plan_stdin(struct put *p, err_code (*open_scratch)(struct put *p, struct err *err), struct err *err)
{
	err_code rc = choose_target(p, NULL, err);

	if (rc == ERR_OK)
		rc = open_scratch(p, err);
	if (rc == ERR_OK)
		rc = spool(p, err);
	if (rc)
		return rc;
	p->root = dup(p->scratch->fd);
	rc = add_parents(p, err);
	return rc ? rc : plan_one(p, PUT_STDIN, err);
}

static err_code
open_root(struct put *p, const char *path, struct err *err)
{
	p->root = open(*path ? path : "/", O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return p->root < 0 ? err_errno(err, "%s", path) : ERR_OK;
}

err_code
put_plan(struct put *p, err_code (*open_scratch)(struct put *p, struct err *err), struct err *err)
{
	AUTO(freep) char *dir = NULL;
	AUTO(freep) char *real = NULL;
	const char *name;
	struct stat st;
	bool tree;
	err_code rc;

	if (strcmp(p->source, "-") == 0)
		return plan_stdin(p, open_scratch, err);
	if (lstat(p->source, &st) < 0)
		return err_errno(err, "%s", p->source);
	tree = S_ISDIR(st.st_mode);
	dir = xstrdup(p->source);
	if (!tree) {
		char *slash = strrchr(dir, '/');

		name = arena_strdup(p->arena, slash ? slash + 1 : dir);
		if (slash)
			slash[slash == dir] = '\0';
		else
			memcpy(dir, ".", 2);
	} else {
		real = realpath(dir, NULL); /* "." has a name too */
		if (!real)
			return err_errno(err, "%s", p->source);
		name = arena_strdup(p->arena, path_name(real));
	}
	rc = open_root(p, dir, err);
	if (rc == ERR_OK)
		rc = choose_target(p, name, err);
	if (rc == ERR_OK)
		rc = open_scratch(p, err);
	if (rc == ERR_OK)
		rc = add_parents(p, err);
	if (rc)
		return rc;
	return tree ? plan_tree(p, err) : plan_one(p, name, err);
}
