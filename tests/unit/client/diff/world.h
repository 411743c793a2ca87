#pragma once
/**
 * A model of one device and one server, small enough to run hundreds of thousands of times: three sides as lists of entries, an executor that
 * refuses what real file systems and servers refuse, and the promises as checks.  A broken promise prints the world and aborts.
 */

#include "base/arena.h"
#include "client/diff/diff.h"

#define WORLD_MAX 64

struct side {
	struct entry e[WORLD_MAX];
	size_t n;
};

struct world {
	struct side base, local, remote;
	struct side local0, remote0, base0; /* as they were at the start, for the promises */
	struct arena *a;
	uint64_t next;                      /* ids, inodes, times: never the same twice */
	size_t acts[ACT_SKIP + 1];          /* what has been planned, by act */
	unsigned copies;                    /* conflict copies made */
	bool ignores;                       /* names with a component "i" are ignored here, and files "r" say so */
	unsigned kept;                      /* directories that are here only, for what is ignored in them */
};

void world_reset(struct world *w, struct arena *a);

struct entry *side_at(struct side *s, const char *path);
void side_remove(struct side *s, const char *path);
/** side_put(s, e): replaces what is at e->path. */
void side_put(struct side *s, const struct entry *e);
bool side_has_children(struct side *s, const char *path);
bool side_has_parent(struct side *s, const char *path);

/** A fresh entry: unique id, inode and times; ${content} decides the bytes (and so the size: two contents may have one size). */
struct entry world_entry(struct world *w, const char *path, enum entry_kind kind, unsigned content);
/** New bytes in place: same id and inode, new times. */
void world_edit(struct world *w, struct entry *e, unsigned content);
/** Another mode and time. */
void world_touch(struct world *w, struct entry *e);
/** The same file under another name (and all beneath it): the change time moves, nothing else. */
void world_rename(struct world *w, struct side *s, const char *from, const char *to);
void world_remove_tree(struct side *s, const char *path);

/** world_plan(w, keep, out): what the planner says; ${keep} also lists unchanged names.  Checks that deletes have evidence. */
void world_plan(struct world *w, bool keep, struct plan *out);

/** world_run(w, plan): carry it out. */
void world_run(struct world *w, const struct plan *plan);

/** world_settle(w): plan and run until nothing is planned; returns the number of rounds that did something.  Checks all promises. */
unsigned world_settle(struct world *w);

void world_print(const struct world *w, const char *why);
