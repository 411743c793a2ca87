/*
 * dray fsck: is the folder what was agreed, and does what dray remembers of it agree with itself?  It looks for what no edit explains, so a file
 * whose size and times are the agreed ones is read, and one that was edited is counted and left to dray sync.
 *
 *   F1  Nothing is changed (P33): not the tree, not a byte of .dray, nothing at the server.
 *   F2  The tree may be in use.  What looks wrong is looked at again when all has been read, and counts only if the state still says the
 *       same of it.
 */
#include <dirent.h>
#include <inttypes.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/pathat.h"
#include "client/cli.h"
#include "client/commit/apply.h"
#include "client/folder.h"
#include "client/layout.h"
#include "client/plan_show.h"
#include "client/report.h"
#include "client/scan/scan.h"

#define LIST_MAX 20
#define OUTPUT_MAX (256 * MIB)
#define MEMORY_MAX (1 * GIB)
#define PAGE_MEMORY (64 * MIB)
#define RETRY_MS 1000

struct fsck {
	struct folder *folder;
	struct arena *arena;      /* text of findings and suspects */
	struct report *report;
	struct problem *found;    /* path "": of no file */
	size_t found_count, found_room;
	struct entry *suspects;   /* F2: base rows */
	size_t suspect_count, suspect_room;
	struct remote *remote;    /* with --online */
	uint64_t entries, read, bytes, edited;
	uint64_t unsure;          /* cut in a way that only the server knows */
	uint64_t left_files, left_bytes; /* temporaries */
	bool online, compared;
};

static void
found(struct fsck *f, const char *path, const char *code, const char *detail)
{
	if (f->found_count == f->found_room) {
		f->found_room = 2 * f->found_room + 16;
		f->found = xrealloc(f->found, f->found_room * sizeof *f->found);
	}
	f->found[f->found_count++] =
	    (struct problem){ arena_strdup(f->arena, path), code, arena_strdup(f->arena, detail) };
}

static void
suspect(struct fsck *f, const struct entry *base)
{
	struct entry *e;

	if (f->suspect_count == f->suspect_room) {
		f->suspect_room = 2 * f->suspect_room + 16;
		f->suspects = xrealloc(f->suspects, f->suspect_room * sizeof *f->suspects);
	}
	e = &f->suspects[f->suspect_count++];
	*e = *base;
	e->path = arena_strdup(f->arena, base->path);
	e->target = arena_strdup(f->arena, base->target);
}

/* ---- the state ----------------------------------------------------------------------------------------------------------------- */

static void
note_state(void *ctx, const char *finding)
{
	found(ctx, "", "state_damaged", finding);
}

/* A state that cannot be read to its end is a finding; other failures are failures. */
static err_code
damage(struct fsck *f, err_code rc, const struct err *err)
{
	if (rc != ERR_CORRUPT && rc != ERR_STATE_DAMAGED)
		return rc;
	found(f, "", "state_damaged", err->msg);
	return ERR_OK;
}

/* ---- the tree ------------------------------------------------------------------------------------------------------------------ */

enum look { LOOK_SOUND, LOOK_EDITED, LOOK_GONE, LOOK_OTHER, LOOK_UNSURE, LOOK_UNREADABLE };

/* ${base} is what is agreed.  Size and modification time are enough to be read: who writes and sets the time back is found out too.  LOOK_OTHER: its bytes are not those, as far as its own cut tells. */
static enum look
look_at_file(struct fsck *f, const struct entry *base, struct entry *here, struct err *err)
{
	struct entry hashed;

	if (here->kind != ENTRY_FILE || here->size != base->size || here->mtime_ns != base->mtime_ns)
		return LOOK_EDITED;
	switch (scan_hash(f->folder->root, here, clock_wall_us() * 1000, cli_cancel(), &hashed, err)) {
	case ERR_OK:
		break;
	case ERR_NOT_FOUND:
		return LOOK_GONE;
	case ERR_BUSY:
		return LOOK_EDITED;
	default:
		return LOOK_UNREADABLE;
	}
	*here = hashed;
	here->path = base->path;
	here->target = "";
	if (here->size != base->size || here->mtime_ns != base->mtime_ns)
		return LOOK_EDITED;
	return entry_same_content(here, base) ? LOOK_SOUND : LOOK_OTHER;
}

static enum look
look_at(struct fsck *f, const struct entry *base, struct arena *a, struct entry *here, struct err *err)
{
	err_code rc = scan_stat(f->folder->root, base->path, clock_wall_us() * 1000, a, here, err);

	if (rc == ERR_NOT_FOUND || rc == ERR_PARENT_NOT_DIRECTORY)
		return LOOK_GONE;
	if (rc)
		return rc == ERR_DENIED && err->reason ? LOOK_EDITED : LOOK_UNREADABLE; /* a special file stands there now */
	if (base->kind == ENTRY_FILE)
		return look_at_file(f, base, here, err);
	return entry_same_content(here, base) ? LOOK_SOUND : LOOK_EDITED;
}

static void
count(struct fsck *f, const struct entry *base, enum look look)
{
	f->edited += look == LOOK_EDITED;
	f->unsure += look == LOOK_UNSURE;
	if (look == LOOK_SOUND && base->kind == ENTRY_FILE) {
		f->read++;
		f->bytes += (uint64_t)base->size;
	}
}

static err_code
walk(struct fsck *f, struct err *err)
{
	AUTO(state_walk_freep) struct state_walk *w = NULL;
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	const struct entry *base;
	err_code rc = state_base_walk(f->folder->state, &w, err);

	while (!rc && !(rc = state_walk_next(w, &base, err)) && base) {
		struct entry here;
		struct err why;
		enum look look;

		arena_reset(a);
		look = look_at(f, base, a, &here, &why);
		if (look == LOOK_SOUND || look == LOOK_EDITED)
			count(f, base, look);
		else
			suspect(f, base);
		report_count(f->report, "Scanning", ++f->entries);
		if (flag_is_set(cli_cancel()))
			rc = err_set(err, ERR_CANCELLED, "stopped on request");
	}
	return rc;
}

/*
 * One content may be cut in several ways: before the bytes are called others they are cut as the agreed ones are.  How those were cut is not known
 * here when a device was killed between sending them and recording that: the sync after it took the server's list, and did not keep it.
 */
static err_code
look_closer(struct fsck *f, const struct entry *base, const struct entry *here, enum look *look, struct err *err)
{
	struct layout_env env = {
		.root = f->folder->root, .state = f->folder->state, .remote = f->remote, .cancel = cli_cancel()
	};
	bool same;
	err_code rc = layout_same(&env, here, base, &same, err);

	if (rc == ERR_OK && same)
		*look = LOOK_SOUND;
	else if (rc == ERR_VERSION_CONFLICT || (rc == ERR_OK && !f->remote && base->size > (int64_t)BLOCK_LEN_MAX && !layout_known(&env, base)))
		*look = LOOK_UNSURE; /* a file of one block is cut in one way, and has no list here */
	return rc == ERR_VERSION_CONFLICT ? ERR_OK : rc;
}

/* F2 */
static err_code
look_again(struct fsck *f, const struct entry *was, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(MIB);
	struct entry base, here;
	struct err why = { 0 };
	enum look look;
	err_code rc = state_base_get(f->folder->state, was->path, a, &base, err);

	if (rc == ERR_NOT_FOUND || (rc == ERR_OK && base.version != was->version))
		return ERR_OK;
	if (rc)
		return rc;
	look = look_at(f, &base, a, &here, &why);
	if (look == LOOK_OTHER)
		rc = look_closer(f, &base, &here, &look, err);
	if (rc)
		return rc;
	count(f, &base, look);
	if (look == LOOK_GONE)
		found(f, was->path, "not_on_disk", "dray sync would delete it everywhere; dray restore brings it back");
	else if (look == LOOK_OTHER && entry_same_disk(&here, &base))
		found(f, was->path, "content_differs", "its bytes are not the agreed ones, though its size and times are; it is never sent."
		    " Move it away and dray restore it");
	else if (look == LOOK_OTHER)
		found(f, was->path, "touched_differs", "its bytes are not the agreed ones; something has written it and set its time back."
		    " dray sync sends it as an edit");
	else if (look == LOOK_UNREADABLE)
		found(f, was->path, "unreadable", why.msg);
	return ERR_OK;
}

static err_code
check_tree(struct fsck *f, struct err *err)
{
	err_code rc = walk(f, err);

	for (size_t i = 0; !rc && i < f->suspect_count; i++)
		rc = look_again(f, &f->suspects[i], err);
	return rc;
}

/* ---- what else there is ---------------------------------------------------------------------------------------------------------- */

/* Those that an interrupted download goes on from are no leftovers. */
static void
count_leftovers(struct fsck *f)
{
	struct err why;
	struct dirent *e;
	struct stat st;
	int fd;
	DIR *d;

	if (f->folder->lock < 0 || pathat_open(f->folder->root, ".dray/tmp", O_RDONLY | O_DIRECTORY, 0, &fd, &why))
		return; /* somebody is at work there, or nobody ever was */
	d = fdopendir(fd);
	if (!d) {
		closep(&fd);
		return;
	}
	while ((e = readdir(d))) {
		if (apply_temp_stays(e->d_name) || fstatat(dirfd(d), e->d_name, &st, AT_SYMLINK_NOFOLLOW) || !S_ISREG(st.st_mode))
			continue;
		f->left_files++;
		f->left_bytes += (uint64_t)st.st_size;
	}
	closedir(d);
}

/* Equal digests prove equal trees; they can be compared where this device has heard of all that there is. */
static err_code
compare(struct fsck *f, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(PAGE_MEMORY);
	struct state_totals totals;
	struct state_place place;
	struct wire_page page;
	struct hash digest;
	err_code rc = state_place_get(f->folder->state, &place, err);

	if (!rc)
		rc = state_totals(f->folder->state, &totals, err);
	if (rc || !place.known || totals.pending)
		return rc;
	rc = remote_changes(f->remote, &(struct cursor){ .clock = place.clock, .epoch = place.epoch }, a, &page, err);
	if (rc || page.n > 0 || page.has_more)
		return rc;
	f->compared = true;
	digest = state_tree_digest(&totals);
	if (!hash_eq(&digest, &page.digest))
		found(f, "", "digest_differs", "the agreed tree is not the server's, and the server has said nothing new; dray sync lists it anew");
	return ERR_OK;
}

/* ---- the command ------------------------------------------------------------------------------------------------------------------ */

static void
show_json(const struct fsck *f, const char *path)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kstr(&jw, "folder", path);
	jw_ku64(&jw, "entries", f->entries);
	jw_ku64(&jw, "verified", f->read);
	jw_ku64(&jw, "verified_bytes", f->bytes);
	jw_ku64(&jw, "edited", f->edited);
	jw_ku64(&jw, "unsure", f->unsure);
	jw_ku64(&jw, "leftovers", f->left_files);
	jw_ku64(&jw, "leftover_bytes", f->left_bytes);
	if (f->online)
		jw_kbool(&jw, "compared", f->compared);
	jw_key(&jw, "findings");
	problems_json(&jw, f->found, f->found_count);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

static void
show_text(const struct fsck *f, const char *path, size_t max)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	char size[SIZE_HUMAN_MAX];

	sbuf_add_visible(&sb, path);
	sbuf_addf(&sb, ": %" PRIu64 " entries, %" PRIu64 " files read (%s)", f->entries, f->read, size_human(f->bytes, size));
	if (f->found_count)
		sbuf_addf(&sb, ": %zu finding%s:\n", f->found_count, f->found_count == 1 ? "" : "s");
	else
		sbuf_add(&sb, ": all is as agreed.\n");
	problems_show(&sb, f->found, f->found_count, max);
	if (f->edited)
		sbuf_addf(&sb, "%" PRIu64 " edited since the last sync.\n", f->edited);
	if (f->unsure)
		sbuf_addf(&sb, "%" PRIu64 " not verified, as only the server knows how %s cut: --online asks it.\n", f->unsure,
		    f->unsure == 1 ? "it was" : "they were");
	if (f->left_files)
		sbuf_addf(&sb, "%" PRIu64 " temporary files (%s) that the next sync removes.\n", f->left_files, size_human(f->left_bytes, size));
	if (f->online)
		sbuf_add(&sb, f->compared ? "Compared with the server.\n" : "The server has more to say, so it was not compared; dray sync first.\n");
	cli_print(&sb);
}

static err_code
check_all(struct fsck *f, const char *path, struct err *err)
{
	err_code rc = folder_open_untouched(path, &f->folder, err);

	if (rc)
		return damage(f, rc, err);
	rc = damage(f, state_check(f->folder->state, note_state, f, err), err);
	if (!rc && f->online)
		rc = damage(f, folder_remote(f->folder, &(struct line_opts){ .retry_ms = RETRY_MS, .cancel = cli_cancel() }, &f->remote, err), err);
	if (!rc)
		rc = damage(f, check_tree(f, err), err);
	if (!rc)
		count_leftovers(f);
	return !rc && f->remote ? damage(f, compare(f, err), err) : rc;
}

static int
run(const struct command_line *line)
{
	AUTO(freep) char *path = NULL;
	struct report_opts opts = { .quiet = command_has(line, 'j') || command_has(line, 'q'), .bar = report_terminal() };
	struct fsck f = { .arena = arena_new(MEMORY_MAX), .online = command_has(line, 'w') };
	struct err err = { 0 };
	err_code rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, &err);

	f.report = report_new(&opts);
	if (!rc)
		rc = check_all(&f, path, &err);
	report_clear(f.report);
	if (!rc && command_has(line, 'j'))
		show_json(&f, path);
	else if (!rc && (!command_has(line, 'q') || f.found_count))
		show_text(&f, path, command_has(line, 'v') ? SIZE_MAX : LIST_MAX);
	report_free(f.report);
	remote_free(f.remote);
	folder_free(f.folder);
	free(f.found);
	free(f.suspects);
	arena_free(f.arena);
	if (rc)
		return command_fail(line, &err);
	return f.found_count ? EXIT_REMAINS : EXIT_IN_SYNC;
}

const struct command COMMAND_FSCK = {
	.name = "fsck",
	.args = "[DIR]",
	.summary = "Check a linked folder for damage, changing nothing",
	.options = "wjqv",
	.args_min = 0,
	.args_max = 1,
	.run = run,
	.help = "Checks what dray remembers of the folder, reads every file whose size and time are the agreed ones, and\n"
	        "names those whose bytes are not: what a disk or a crash has changed and nobody edited. Such a file is never\n"
	        "sent. Not a byte is written; it works beside dray watch and without the server. With --online the agreed\n"
	        "tree is compared with the server's, and the server is asked how a file was cut where only it knows that.\n\n"
	        "Exit status: 0 all is as agreed, 1 error, 2 wrong usage, 3 something was found.\n",
};
