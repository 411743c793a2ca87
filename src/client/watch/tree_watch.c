/*
 * W1  Each watch descriptor has a path, and each watched path one descriptor.  A directory that is renamed is forgotten with all beneath it
 *     under its old name and watched again under the new one, so no path is ever guessed.  What happens in between is not lost: the
 *     rename itself is told, after the new watches are in place, and a pass looks at everything.
 * W2  inotify takes paths.  Each directory is opened beneath the root without following links (I11), and watched as /proc/self/fd/N.
 * W3  The rules of a directory are known before anything in it is judged: its watch is made, then they are read, then it is listed.  When they change
 *     nothing is undone: the agent opens the watch anew.
 */
#include "client/watch/tree_watch.h"

#include <dirent.h>
#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/inotify.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/limits.h"
#include "base/map.h"
#include "base/path.h"
#include "base/pathat.h"
#include "client/ignore/ignore.h"

#define MASK (IN_CREATE | IN_DELETE | IN_MOVED_FROM | IN_MOVED_TO | IN_MODIFY | IN_CLOSE_WRITE | IN_ATTRIB | IN_ONLYDIR | IN_EXCL_UNLINK)
#define MASK_ROOT (MASK | IN_DELETE_SELF | IN_MOVE_SELF)
#define RULES_MASK (IN_CLOSE_WRITE | IN_MOVED_FROM | IN_MOVED_TO | IN_DELETE) /* of a file of rules: it says something else now */
#define READ_LEN (64 * KIB)
#define READS_MAX 64 /* in one go: the agent has other things to look at */
#define FAULT_DIRS 3 /* that can be watched with the fault watch.limit */

/** A watched directory. */
struct dir {
	int wd;
	char path[];
};

struct tree_watch {
	int fd, root;
	int root_wd;
	struct map *by_wd, *by_path; /* to the same struct dir, which by_wd owns */
	struct ignore *ignore;       /* the rules of the watched directories */
	size_t missed;
	struct moved {
		uint32_t cookie;         /* 0: none */
		bool dir;
		char *path;
	} moved;                     /* a name that has left, and may come in again under another */
	char **todo;                 /* directories to be watched */
	size_t todo_n, todo_cap;
	void (*fn)(void *ctx, const struct seen *s);
	void *ctx;
};

/* ---- which directories are watched (W1) ------------------------------------------------------------------------------------- */

static void
forget(struct tree_watch *w, struct dir *d)
{
	if (map_get(w->by_path, d->path, strlen(d->path)) == d)
		map_remove(w->by_path, d->path, strlen(d->path));
	map_remove(w->by_wd, &d->wd, sizeof d->wd);
	free(d);
}

static void
remember(struct tree_watch *w, int wd, const char *path)
{
	struct dir *d = map_get(w->by_wd, &wd, sizeof wd);
	size_t len = strlen(path);

	if (d)
		forget(w, d); /* it has been watched under another name */
	d = map_get(w->by_path, path, len);
	if (d)
		forget(w, d); /* another directory had this name */
	d = xmalloc(sizeof *d + len + 1);
	d->wd = wd;
	memcpy(d->path, path, len + 1);
	map_put(w->by_wd, &wd, sizeof wd, d);
	map_put(w->by_path, path, len, d);
}

static void
forget_beneath(struct tree_watch *w, const char *path)
{
	struct dir **found = NULL;
	size_t n = 0, cap = 0, pos = 0, len;
	const void *key;
	void *value;

	if (!map_get(w->by_path, path, strlen(path)))
		return;
	while (map_next(w->by_wd, &pos, &key, &len, &value)) {
		struct dir *d = value;
		if (!path_within(d->path, path))
			continue;
		if (n == cap) {
			cap = MAX(2 * cap, (size_t)16);
			found = xrealloc(found, cap * sizeof(struct dir *));
		}
		found[n++] = d;
	}
	for (size_t i = 0; i < n; i++) {
		inotify_rm_watch(w->fd, found[i]->wd);
		forget(w, found[i]);
	}
	free(found);
}

static void
todo_push(struct tree_watch *w, char *path)
{
	if (w->todo_n == w->todo_cap) {
		w->todo_cap = MAX(2 * w->todo_cap, (size_t)64);
		w->todo = xrealloc(w->todo, w->todo_cap * sizeof *w->todo);
	}
	w->todo[w->todo_n++] = path;
}

/* Unless it is ignored; takes the path. */
static void
todo_push_seen(struct tree_watch *w, char *path)
{
	if (ignore_name(w->ignore, path, true))
		free(path);
	else
		todo_push(w, path);
}

static char *
join(const char *dir, const char *name)
{
	size_t dir_len = strlen(dir), name_len = strlen(name);
	char *path = xmalloc(dir_len + 1 + name_len + 1);

	memcpy(path, dir, dir_len);
	if (dir_len)
		path[dir_len++] = '/';
	memcpy(path + dir_len, name, name_len + 1);
	return path;
}

static bool
is_ours(const char *dir, const char *name)
{
	return dir[0] == '\0' && strcmp(name, ".dray") == 0;
}

/* The directories in ${fd} are next; takes the descriptor. */
static void
list(struct tree_watch *w, int fd, const char *path)
{
	DIR *dir = fdopendir(fd);
	struct dirent *e;
	struct stat st;

	if (!dir) {
		close(fd);
		return;
	}
	while ((e = readdir(dir))) {
		if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0 || is_ours(path, e->d_name))
			continue;
		if (e->d_type == DT_DIR ||
		    (e->d_type == DT_UNKNOWN && fstatat(fd, e->d_name, &st, AT_SYMLINK_NOFOLLOW) == 0 && S_ISDIR(st.st_mode)))
			todo_push_seen(w, join(path, e->d_name));
	}
	closedir(dir);
}

static int
add_watch(struct tree_watch *w, int fd, const char *path)
{
	char link[32];

	if (FAULT("watch.limit") && map_count(w->by_wd) >= FAULT_DIRS) {
		errno = ENOSPC;
		return -1;
	}
	snprintf(link, sizeof link, "/proc/self/fd/%d", fd);
	return inotify_add_watch(w->fd, link, path[0] ? MASK : MASK_ROOT);
}

/* Watch one directory, and list those in it.  Watched first: what is made between the two is seen. */
static err_code
watch_dir(struct tree_watch *w, const char *path, struct err *err)
{
	int fd, wd;
	err_code rc = pathat_open(w->root, path, O_RDONLY | O_DIRECTORY, 0, &fd, err);

	if (rc)
		return rc;
	wd = add_watch(w, fd, path);
	if (wd < 0) {
		rc = err_errno(err, "watch %s", path[0] ? path : "the folder");
		w->missed += err->sys == ENOSPC;
	} else {
		remember(w, wd, path);
		if (path[0] == '\0')
			w->root_wd = wd;
	}
	(void)ignore_load(w->ignore, w->root, path); /* W3 */
	list(w, fd, path);
	return rc;
}

/* What cannot be opened is gone, or unreadable, which a pass reports. */
static void
watch_todo(struct tree_watch *w)
{
	struct err ignored;

	while (w->todo_n) {
		AUTO(freep) char *path = w->todo[--w->todo_n];

		(void)!watch_dir(w, path, &ignored);
	}
}

/* ---- opening ------------------------------------------------------------------------------------------------------------------ */

err_code
tree_watch_open(const char *path, struct tree_watch **out, struct err *err)
{
	struct tree_watch *w = xcalloc(1, sizeof *w);
	err_code rc = ERR_OK;

	w->by_wd = map_new();
	w->by_path = map_new();
	w->ignore = ignore_new();
	w->root = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	w->fd = w->root < 0 ? -1 : inotify_init1(IN_CLOEXEC | IN_NONBLOCK);
	if (w->root < 0 || w->fd < 0)
		rc = err_errno(err, "watch %s", path);
	else
		rc = watch_dir(w, "", err);
	if (rc) {
		tree_watch_free(w);
		return rc;
	}
	watch_todo(w);
	*out = w;
	return ERR_OK;
}

void
tree_watch_free(struct tree_watch *w)
{
	size_t pos = 0, len;
	const void *key;
	void *d;

	if (!w)
		return;
	while (map_next(w->by_wd, &pos, &key, &len, &d))
		free(d);
	map_free(w->by_wd);
	map_free(w->by_path);
	ignore_free(w->ignore);
	while (w->todo_n)
		free(w->todo[--w->todo_n]);
	free(w->todo);
	free(w->moved.path);
	closep(&w->fd);
	closep(&w->root);
	free(w);
}

int
tree_watch_fd(const struct tree_watch *w)
{
	return w->fd;
}

size_t
tree_watch_count(const struct tree_watch *w)
{
	return map_count(w->by_wd);
}

size_t
tree_watch_missed(const struct tree_watch *w)
{
	return w->missed;
}

bool
tree_watch_is_root(const struct tree_watch *w, const char *path)
{
	struct stat ours, there;

	return fstat(w->root, &ours) == 0 && lstat(path, &there) == 0 && ours.st_dev == there.st_dev && ours.st_ino == there.st_ino;
}

/*
 * A lease for reading is given only while nobody has the file open for writing.  It is held for an instant; who opens the file in that
 * instant waits for as long, and the kernel tells us with SIGIO, which the program ignores.
 */
bool
tree_watch_writing(const struct tree_watch *w, const char *path)
{
	AUTO(closep) int fd = -1;
	struct stat st;
	struct err ignored;

	if (pathat_open(w->root, path, O_RDONLY | O_NONBLOCK, 0, &fd, &ignored) || fstat(fd, &st) || !S_ISREG(st.st_mode))
		return false; /* gone, or none of those that are held */
	if (fcntl(fd, F_SETLEASE, F_RDLCK) == 0) {
		(void)fcntl(fd, F_SETLEASE, F_UNLCK);
		return false;
	}
	return true;
}

/* ---- events ------------------------------------------------------------------------------------------------------------------- */

static void
tell(struct tree_watch *w, enum seen_kind kind, const char *path, const char *from)
{
	w->fn(w->ctx, &(struct seen){ .kind = kind, .path = path, .from = from });
}

/* A name that left the tree's sight and did not come in again. */
static void
moved_away(struct tree_watch *w)
{
	if (!w->moved.cookie)
		return;
	w->moved.cookie = 0;
	tell(w, SEEN_GONE, w->moved.path, NULL);
	free(TAKE(w->moved.path));
}

static void
on_moved_from(struct tree_watch *w, const struct inotify_event *e, char *path)
{
	moved_away(w);
	if (e->mask & IN_ISDIR)
		forget_beneath(w, path);
	w->moved = (struct moved){ .cookie = e->cookie, .dir = e->mask & IN_ISDIR, .path = path };
}

static void
watch_new(struct tree_watch *w, const char *path)
{
	todo_push(w, xstrdup(path));
	watch_todo(w);
}

static void
on_moved_to(struct tree_watch *w, const struct inotify_event *e, const char *path)
{
	AUTO(freep) char *from = NULL;

	if (w->moved.cookie && w->moved.cookie == e->cookie) {
		from = TAKE(w->moved.path);
		w->moved.cookie = 0;
	} else {
		moved_away(w);
	}
	if (e->mask & IN_ISDIR) {
		forget_beneath(w, path); /* of an empty directory that it has replaced */
		watch_new(w, path);
	}
	if (from)
		tell(w, SEEN_MOVED, path, from);
	else
		tell(w, SEEN_GONE, path, NULL); /* what had that name is no more; what has it now is a change */
}

/* A link made to a file that is there, or one that another machine makes, will not be closed by anybody here. */
static enum seen_kind
made_kind(const struct tree_watch *w, const char *path)
{
	struct stat st;
	struct err ignored;

	if (pathat_stat(w->root, path, &st, &ignored) || !S_ISREG(st.st_mode) || st.st_nlink != 1)
		return SEEN_CHANGED;
	return SEEN_MADE;
}

static void
on_name(struct tree_watch *w, const struct inotify_event *e, const char *path)
{
	if (e->mask & IN_MOVED_TO) {
		on_moved_to(w, e, path);
		return;
	}
	moved_away(w);
	if (e->mask & IN_CREATE && e->mask & IN_ISDIR)
		watch_new(w, path);
	if (e->mask & IN_CREATE && !(e->mask & IN_ISDIR))
		tell(w, made_kind(w, path), path, NULL);
	else if (e->mask & IN_MODIFY && !(e->mask & IN_ISDIR)) /* of a directory: its time was set */
		tell(w, SEEN_WRITTEN, path, NULL);
	else if (e->mask & IN_CLOSE_WRITE)
		tell(w, SEEN_CLOSED, path, NULL);
	else if (e->mask & IN_DELETE)
		tell(w, SEEN_GONE, path, NULL);
	else
		tell(w, SEEN_CHANGED, path, NULL);
}

/* What lies in a directory that is ignored is not watched; what is ignored in one that is not has no event.  True: it was about such a name. */
static bool
drop_ignored(struct tree_watch *w, const struct inotify_event *e, const char *path)
{
	if (!ignore_name(w->ignore, path, e->mask & IN_ISDIR))
		return false;
	if (e->mask & IN_MOVED_TO)
		moved_away(w); /* what is ignored now has left the tree */
	else if (e->mask & IN_MOVED_FROM)
		forget_beneath(w, path);
	return true;
}

static void
on_event(struct tree_watch *w, const struct inotify_event *e)
{
	struct dir *d = map_get(w->by_wd, &e->wd, sizeof e->wd);
	char *path;

	if (e->mask & IN_Q_OVERFLOW) {
		tell(w, SEEN_OVERFLOW, "", NULL);
		return;
	}
	if (e->wd == w->root_wd && e->mask & (IN_DELETE_SELF | IN_MOVE_SELF | IN_UNMOUNT | IN_IGNORED)) {
		tell(w, SEEN_ROOT_GONE, "", NULL);
		return;
	}
	if (!d)
		return; /* of a watch that was given up while this waited to be read */
	if (e->mask & IN_IGNORED) {
		forget(w, d);
		return;
	}
	if (e->len == 0) { /* the directory itself: its mode or time */
		tell(w, SEEN_CHANGED, d->path, NULL);
		return;
	}
	if (is_ours(d->path, e->name))
		return;
	path = join(d->path, e->name);
	if (e->mask & RULES_MASK && strcmp(e->name, IGNORE_FILE) == 0)
		tell(w, SEEN_RULES, path, NULL);
	if (drop_ignored(w, e, path)) {
		free(path);
		return;
	}
	if (e->mask & IN_MOVED_FROM) {
		on_moved_from(w, e, path); /* takes it */
		return;
	}
	on_name(w, e, path);
	free(path);
}

void
tree_watch_read(struct tree_watch *w, void (*fn)(void *ctx, const struct seen *s), void *ctx)
{
	AUTO(freep) uint8_t *buf = xmalloc(READ_LEN);
	ssize_t got;

	w->fn = fn;
	w->ctx = ctx;
	for (unsigned reads = 0; reads < READS_MAX && (got = read(w->fd, buf, READ_LEN)) > 0; reads++) {
		if (FAULT("watch.overflow")) {
			tell(w, SEEN_OVERFLOW, "", NULL);
			continue;
		}
		for (ssize_t at = 0; at < got;) {
			const struct inotify_event *e = (const void *)(buf + at);

			at += (ssize_t)(sizeof *e + e->len);
			on_event(w, e);
		}
	}
	moved_away(w);
}
