#pragma once
/**
 * What dray status --follow knows of a project, and how that looks: as a screen of any size, or as lines.  Pure: no line, no clock, no terminal.
 * Not thread-safe.
 */

#include "wire/event.h"

#define FOLLOW_TRANSFERS_MAX PROGRESS_MAX
#define FOLLOW_CHANGES_MAX 100

struct follow_transfer {
	struct id transfer, device;
	bool up;
	char *path;
	int64_t done, total;
	enum wire_progress_state state;
	int64_t heard_ms, said_ms;
	int64_t old_ms, old_done, mid_ms, mid_done; /* the rate is since ${old}, which is two to four seconds ago */
};

struct follow_change {
	int64_t at_us;
	const char *what; /* "added", "modified", "deleted" */
	char *path;
};

struct follow_view {
	const char *project, *url, *own_name; /* the caller's */
	struct id own;
	struct arena *devices_arena;    /* of the list below */
	struct wire_device *devices;
	size_t device_count;
	struct follow_transfer transfers[FOLLOW_TRANSFERS_MAX];
	size_t transfer_count;
	struct follow_change changes[FOLLOW_CHANGES_MAX]; /* the newest first */
	size_t change_count;
	bool connected;
	char why[256];                  /* why not */
	char agent[256];                /* what the agent says of itself */
	bool want_devices;              /* the list is not up to date */
	unsigned heard;                 /* messages of who comes and goes */
};

void follow_init(struct follow_view *v);
void follow_fini(struct follow_view *v);

/**
 * follow_devices(v, arena, list, n, heard, now_us, lines): a new list; takes the arena.  ${heard} is what v->heard was when it was asked for: who
 * comes and goes is told by messages, and one that came meanwhile is newer than the list.  ${lines} as below, of who came or went by the list.
 */
void follow_devices(struct follow_view *v, struct arena *a, struct wire_device *list, size_t n, unsigned heard, int64_t now_us, struct sbuf *lines);

/** follow_event(v, e, now_ms, now_us, lines): a message.  ${lines} NULL, or what is worth a line of it is added there, made visible. */
void follow_event(struct follow_view *v, const struct wire_event *e, int64_t now_ms, int64_t now_us, struct sbuf *lines);

/** follow_connected(v, why): the line is up (${why} NULL), or is not.  Returns whether that is news. */
bool follow_connected(struct follow_view *v, const char *why);

/** follow_screen(v, columns, rows, now_ms, now_us, out): a frame of at most ${rows} lines, each narrower than ${columns}, with newlines between. */
void follow_screen(struct follow_view *v, size_t columns, size_t rows, int64_t now_ms, int64_t now_us, struct sbuf *out);

/** follow_stamp(sb, us): "14:00:01  ", UTC. */
void follow_stamp(struct sbuf *sb, int64_t us);
