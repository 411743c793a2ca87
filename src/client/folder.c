#include <errno.h>
#include <limits.h>
#include <sys/file.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/pathat.h"
#include "base/sbuf.h"
#include "client/folder.h"
#include "client/mark.h"

#define DOT ".dray"
#define TOKEN_FILE DOT "/token"
#define LOCK_FILE DOT "/lock"
#define STATE_FILE DOT "/state.db"
#define DAMAGED_FILE DOT "/state-damaged.db"
#define MARK_FILE DOT "/link"

static char *
path_join(const char *dir, const char *name)
{
	struct sbuf sb = SBUF(PATH_MAX + 64);

	sbuf_addf(&sb, "%s/%s", strcmp(dir, "/") == 0 ? "" : dir, name);
	return sbuf_take(&sb);
}

static bool
is_linked(const char *dir)
{
	AUTO(freep) char *state = path_join(dir, STATE_FILE);
	AUTO(freep) char *mark = path_join(dir, MARK_FILE);

	return access(state, F_OK) == 0 || access(mark, F_OK) == 0;
}

err_code
folder_find(const char *dir, char **out, struct err *err)
{
	AUTO(freep) char *at = realpath(dir ? dir : ".", NULL);
	char *slash;

	*out = NULL;
	if (!at)
		return err_errno(err, "%s", dir ? dir : ".");
	for (;;) {
		if (is_linked(at)) {
			*out = TAKE(at);
			return ERR_OK;
		}
		slash = strrchr(at, '/');
		if (!slash || slash[1] == '\0')
			break;
		slash[slash == at] = '\0'; /* the root keeps its slash */
	}
	return err_set(err, ERR_NOT_LINKED, "%s is not linked to a project, nor is a folder above it; dray link does that",
	    dir ? dir : "this folder");
}

static err_code
read_token(int root, const char *path, struct arena *a, const char **token, struct err *err)
{
	AUTO(closep) int fd = -1;
	char buf[TOKEN_LEN + 2];
	size_t got;
	err_code rc;

	rc = pathat_open(root, TOKEN_FILE, O_RDONLY, 0, &fd, err);
	if (rc)
		return err_wrap(err, "token of %s", path);
	rc = read_full(fd, buf, sizeof buf, &got, err);
	if (rc)
		return err_wrap(err, "token of %s", path);
	while (got > 0 && buf[got - 1] == '\n')
		got--;
	*token = arena_strndup(a, buf, got);
	if (!token_check(*token, got))
		return err_set(err, ERR_TOKEN_INVALID, "the token in %s/" TOKEN_FILE " is damaged; unlink and link again", path);
	return ERR_OK;
}

err_code
folder_peek(const char *path, struct arena *a, struct state_link *link, const char **token, struct err *err)
{
	AUTO(freep) char *dot = path_join(path, DOT);
	AUTO(closep) int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	struct mark_id id;
	err_code rc;

	if (root < 0)
		return err_errno(err, "%s", path);
	rc = mark_read(root, a, link, &id, err);
	if (rc) /* linked by an earlier version, or damaged */
		rc = state_link_peek(dot, a, link, err);
	if (rc)
		return err_wrap(err, "%s", path);
	return read_token(root, path, a, token, err);
}

static err_code
take_lock(struct folder *f, int flags, struct err *err)
{
	err_code rc = pathat_open(f->root, LOCK_FILE, flags, 0600, &f->lock, err);

	if (rc)
		return err_wrap(err, "lock %s", f->path);
	if (flock(f->lock, LOCK_EX | LOCK_NB) == 0)
		return ERR_OK;
	if (errno == EWOULDBLOCK)
		return err_set(err, ERR_ROOT_IN_USE, "another dray is working on %s", f->path);
	return err_errno(err, "lock %s", f->path);
}

/* The lock may be another's, and that is fine. */
static err_code
look_for_lock(struct folder *f, struct err *err)
{
	err_code rc = take_lock(f, O_RDONLY, err);

	if (rc != ERR_ROOT_IN_USE)
		return rc;
	closep(&f->lock);
	f->lock = -1;
	return ERR_OK;
}

/* ---- a state that is lost or damaged ------------------------------------------------------------------------------------------ */

static bool
is_damage(const struct err *err)
{
	switch (err->code) {
	case ERR_CORRUPT:
	case ERR_STATE_DAMAGED:
	case ERR_NOT_LINKED: /* cut short to nothing */
		return true;
	case ERR_DB: /* a schema that makes no sense; not one of a newer version */
		return !err->reason;
	default:
		return false;
	}
}

/* What it held is of no use to anybody but who wants to know what happened; the last one is kept.  *kept: there was one. */
static err_code
set_aside(struct folder *f, bool *kept, struct err *err)
{
	static const char *const suffixes[] = { "-shm", "-wal", "" };
	char from[64], to[64];

	for (size_t i = 0; i < ARRAY_LEN(suffixes); i++) {
		err_code rc;

		snprintf(from, sizeof from, STATE_FILE "%s", suffixes[i]);
		snprintf(to, sizeof to, DAMAGED_FILE "%s", suffixes[i]);
		rc = pathat_unlink(f->root, to, 0, err);
		if (rc == ERR_OK || rc == ERR_NOT_FOUND)
			rc = pathat_rename(f->root, from, f->root, to, 0, err);
		if (rc && rc != ERR_NOT_FOUND)
			return err_wrap(err, "set the damaged state aside");
		*kept = rc == ERR_OK; /* of the last, which is the database itself */
	}
	return pathat_fsync_dir(f->root, DOT, err);
}

err_code
folder_renew(struct folder *f, const struct err *why, struct err *err)
{
	AUTO(freep) char *dot = path_join(f->path, DOT);
	bool kept = false;
	err_code rc;

	state_free(TAKE(f->state));
	rc = set_aside(f, &kept, err);
	if (rc == ERR_OK)
		rc = state_open(dot, &f->state, err);
	if (rc == ERR_OK)
		rc = state_link_put(f->state, &f->link, err);
	if (rc == ERR_OK)
		f->renewed = arena_printf(f->arena, why->code == ERR_STATE_DAMAGED ? "%s%s" : "what this folder remembers could not be read (%s)%s",
		    why->msg, kept ? ", and is kept as " DAMAGED_FILE : "");
	return rc;
}

/* What the mark says is what it was when the state and the tree were last known to belong together. */
static err_code
note_mark(struct folder *f, const struct mark_id *was, bool known, struct err *err)
{
	struct mark_id here;
	err_code rc = mark_here(f->root, &here, err);

	if (rc)
		return rc;
	if (!known)
		return mark_write(f->root, &f->link, &here, err);
	f->copied = !mark_same(was, &here) && !FAULT("client.copy_unnoticed");
	return ERR_OK;
}

err_code
folder_united(struct folder *f, struct err *err)
{
	struct mark_id here;
	err_code rc = mark_here(f->root, &here, err);

	if (rc == ERR_OK)
		rc = mark_write(f->root, &f->link, &here, err);
	f->copied = rc != ERR_OK;
	return rc;
}

static err_code
open_state(struct folder *f, struct err *err)
{
	AUTO(freep) char *dot = path_join(f->path, DOT);
	AUTO(freep) char *file = path_join(f->path, STATE_FILE);
	struct state_link marked;
	struct mark_id id;
	struct err why;
	bool known = mark_read(f->root, f->arena, &marked, &id, &why) == ERR_OK;
	err_code rc = ERR_OK;

	if (known && access(file, F_OK) < 0)
		rc = err_set(&why, ERR_STATE_DAMAGED, "what this folder remembers, .dray/state.db, was gone");
	if (rc == ERR_OK)
		rc = state_open(dot, &f->state, &why);
	if (rc == ERR_OK)
		rc = state_link_get(f->state, f->arena, &f->link, &why);
	if (rc && known && is_damage(&why)) {
		f->link = marked;
		rc = folder_renew(f, &why, err);
	} else if (rc && err) {
		*err = why;
	}
	return rc ? rc : note_mark(f, &id, known, err);
}

/* For who only looks: a damaged state is what he may be looking for. */
static err_code
look_at_state(struct folder *f, struct err *err)
{
	AUTO(freep) char *dot = path_join(f->path, DOT);
	err_code rc = state_open_untouched(dot, f->lock >= 0, &f->state, err);

	return rc ? rc : state_link_get(f->state, f->arena, &f->link, err);
}

static err_code
open_as(const char *path, bool untouched, struct folder **out, struct err *err)
{
	AUTO(folder_freep) struct folder *f = xcalloc(1, sizeof *f);
	err_code rc;

	*out = NULL;
	f->root = f->lock = -1;
	f->mask = umask_now();
	f->path = xstrdup(path);
	f->arena = arena_new(64 * KIB);
	f->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (f->root < 0)
		return err_errno(err, "%s", path);
	rc = untouched ? look_for_lock(f, err) : take_lock(f, O_RDWR | O_CREAT, err);
	if (rc)
		return rc;
	if (!untouched && !is_linked(path)) /* it was until a moment ago: a state would be begun anew */
		return err_set(err, ERR_NOT_LINKED, "%s is not linked any more", path);
	rc = untouched ? look_at_state(f, err) : open_state(f, err);
	if (rc)
		return err_wrap(err, "state of %s", path);
	rc = read_token(f->root, path, f->arena, &f->token, err);
	if (rc)
		return rc;
	*out = TAKE(f);
	return ERR_OK;
}

err_code
folder_open(const char *path, struct folder **out, struct err *err)
{
	return open_as(path, false, out, err);
}

err_code
folder_open_untouched(const char *path, struct folder **out, struct err *err)
{
	return open_as(path, true, out, err);
}

void
folder_free(struct folder *f)
{
	if (!f)
		return;
	state_free(f->state);
	closep(&f->lock);
	closep(&f->root);
	arena_free(f->arena);
	free(f->path);
	free(f);
}

void
folder_freep(struct folder **f)
{
	folder_free(*f);
}

err_code
folder_remote(const struct folder *f, const struct line_opts *line, struct remote **out, struct err *err)
{
	struct remote_opts opts = {
		.url = f->link.url,
		.token = f->token,
		.project = f->link.project,
		.retry_ms = line->retry_ms,
		.rate = line->rate,
		.cancel = line->cancel,
	};

	return remote_open(&opts, out, err);
}

static err_code
write_token(int root, const char *token, struct err *err)
{
	AUTO(closep) int fd = -1;
	err_code rc = pathat_open(root, TOKEN_FILE, O_WRONLY | O_CREAT | O_TRUNC, 0600, &fd, err);

	if (rc)
		return rc;
	rc = write_full(fd, token, strlen(token), err);
	if (rc)
		return rc;
	if (fsync(fd) < 0)
		return err_errno(err, "fsync " TOKEN_FILE);
	return ERR_OK;
}

/*
 * A link that is lost with its name loses no edit, but the next sync would know of nothing that was agreed.  The folder's own name too, unless it is in
 * a place that we may not look at, where we have not made it.
 */
static err_code
flush_names(int root, struct err *err)
{
	err_code rc = pathat_fsync_dir(root, "", err);

	if (rc == ERR_OK)
		rc = pathat_fsync_name(root, err);
	return rc == ERR_DENIED ? ERR_OK : rc;
}

static err_code
fill(int root, const char *path, const struct state_link *link, const char *token, struct err *err)
{
	AUTO(freep) char *dot = path_join(path, DOT);
	struct state *state = NULL;
	struct mark_id id;
	err_code rc;

	rc = write_token(root, token, err);
	if (rc)
		return rc;
	rc = state_open(dot, &state, err);
	if (rc)
		return rc;
	rc = state_link_put(state, link, err);
	state_free(state);
	if (rc == ERR_OK)
		rc = mark_here(root, &id, err);
	if (rc == ERR_OK)
		rc = mark_write(root, link, &id, err);
	return rc ? rc : flush_names(root, err);
}

/* What link makes, in the order in which unlink takes it away: state.db late, since it is what makes a folder linked, and the lock on all of it last. */
static const char *const LINK_FILES[] = { MARK_FILE, TOKEN_FILE, DOT "/agent.sock", DOT "/agent.lock", DOT "/paused",
	DOT "/selection", DAMAGED_FILE "-shm", DAMAGED_FILE "-wal", DAMAGED_FILE, STATE_FILE "-wal", STATE_FILE "-shm", STATE_FILE, LOCK_FILE };

static err_code
remove_files(int root, struct err *err)
{
	for (size_t i = 0; i < ARRAY_LEN(LINK_FILES); i++) {
		err_code rc = pathat_unlink(root, LINK_FILES[i], 0, err);
		if (rc && rc != ERR_NOT_FOUND)
			return err_wrap(err, "remove %s", LINK_FILES[i]);
	}
	return ERR_OK;
}

/* Whether ${above} is ${path} itself, where a link was cut short before it said what it is a link to. */
static bool
half_made(const char *above, const char *path)
{
	AUTO(freep) char *dot = path_join(above, DOT);
	AUTO(freep) char *at = realpath(path, NULL);
	AUTO(arena_freep) struct arena *a = arena_new(64 * KIB);
	struct state *state = NULL;
	struct state_link link;
	struct err ignored;
	bool half;

	if (!at || strcmp(at, above) != 0 || state_open(dot, &state, &ignored))
		return false;
	half = state_link_get(state, a, &link, &ignored) == ERR_NOT_LINKED;
	state_free(state);
	return half;
}

err_code
folder_create(const char *path, const struct state_link *link, const char *token, struct err *err)
{
	AUTO(freep) char *above = NULL;
	AUTO(closep) int root = -1;
	struct err ignored;
	err_code rc;

	if (folder_find(path, &above, &ignored) == ERR_OK && !half_made(above, path))
		return err_set(err, ERR_EXISTS, "%s is linked already; dray unlink %s forgets that link", above, above);
	root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (root < 0)
		return err_errno(err, "%s", path);
	rc = pathat_mkdir(root, DOT, 0700, err);
	if (rc && rc != ERR_EXISTS)
		return err_wrap(err, "%s", path);
	rc = fill(root, path, link, token, err);
	if (rc) {
		rc = err_wrap(err, "link %s", path);
		if (remove_files(root, &ignored) == ERR_OK)
			(void)!pathat_unlink(root, DOT, AT_REMOVEDIR, &ignored); /* stays where there is a trash */
	}
	return rc;
}

err_code
folder_remove(const char *path, bool *trash_kept, struct err *err)
{
	AUTO(closep) int root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	err_code rc;

	if (root < 0)
		return err_errno(err, "%s", path);
	rc = remove_files(root, err);
	if (rc)
		return rc;
	/* tmp is empty between syncs; the trash goes only when nothing is in it, since its files are the user's (I8). */
	rc = pathat_unlink(root, DOT "/tmp", AT_REMOVEDIR, err);
	if (rc && rc != ERR_NOT_FOUND && rc != ERR_NOT_EMPTY)
		return err_wrap(err, "unlink %s", path);
	rc = pathat_unlink(root, DOT "/trash", AT_REMOVEDIR, err);
	*trash_kept = rc == ERR_NOT_EMPTY;
	if (rc && rc != ERR_NOT_FOUND && rc != ERR_NOT_EMPTY)
		return err_wrap(err, "unlink %s", path);
	rc = pathat_unlink(root, DOT, AT_REMOVEDIR, err);
	if (rc == ERR_NOT_EMPTY || rc == ERR_NOT_FOUND)
		return ERR_OK;
	return rc ? err_wrap(err, "unlink %s", path) : ERR_OK;
}
