#pragma once
/**
 * The simulation: three real client engines and the real rules of the server in one process, under a scheduler, a clock and faults that a seed
 * decides.  README.md says how; each part says here what the others may ask of it.
 *
 * A seed is run in a process of its own (main.c), so all of this is global and nothing is given back.
 */

#include "base/base.h"
#include "base/err.h"

#define DEVICES 3

/* ---- chance.c: numbers, time, and what was done -------------------------------------------------------------------------------- */

struct dice {
	uint64_t s;
};
uint64_t dice_u64(struct dice *d);
/** dice_below(d, n): 0 … n-1. */
uint32_t dice_below(struct dice *d, uint32_t n);
/** dice_one_in(d, n): true once in ${n}; never when it is 0. */
bool dice_one_in(struct dice *d, uint32_t n);

/** chance_start(seed): every stream of numbers and the clock begin anew. */
void chance_start(uint64_t seed);
/** chance_stream(seed, number): a stream of its own. */
struct dice chance_stream(uint64_t seed, uint64_t number);
/** chance_rng(set): what ids, keys and names are made of from now on; returns what they were made of. */
struct dice chance_rng(struct dice set);

/** Nanoseconds since the simulation began, as the monotonic clock has them; only this moves them. */
int64_t time_now(void);
void time_pass(int64_t ns);
/** time_set(ns): for what is done again as it was done then. */
void time_set(int64_t ns);
/** time_wall(): what the machine of the running thread takes for the time of day, nanoseconds since 1970. */
int64_t time_wall(void);
/** time_skew(machine): by how much a machine's clock is wrong; DEVICES is the server. */
int64_t *time_skew(unsigned machine);
/** time_as(device): whose clock counts, whoever runs; -1: that of who runs.  Returns what it was. */
int time_as(int device);

/** trace(what, a, b): goes into the hash that two runs of a seed must share; with DRAY_SIM_TRACE=1 also to standard error. */
void trace(const char *what, uint64_t a, uint64_t b);
void trace_text(const char *what, const char *text);
uint64_t trace_hash(void);
bool trace_is_shown(void);

/** fail(promise, fmt, …): the seed has failed; ends the process. */
_Noreturn void FORMAT(2, 3) fail(const char *promise, const char *fmt, ...);

/** fail_known(promise, fmt, …): as fail, for what README.md says is known and not mended; it is counted apart. */
#define STATUS_KNOWN 3
_Noreturn void FORMAT(2, 3) fail_known(const char *promise, const char *fmt, ...);

/* ---- sched.c: threads that take turns -------------------------------------------------------------------------------------------- */

void sched_start(struct dice dice, uint32_t switch_one_in);
/** sched_spawn(device, fn, arg): a process of the device.  sched_wait(): until all of them have ended or were killed. */
void sched_spawn(int device, void *(*fn)(void *), void *arg);
void sched_wait(void);
/** sched_kill(device): none of its threads ever runs again; does not return when the caller is one of them. */
void sched_kill(int device);
/** sched_device(): whose thread runs; -1: the simulation's own. */
int sched_device(void);
/** sched_hold(), sched_release(): no other thread runs in between. */
void sched_hold(void);
void sched_release(void);
bool sched_is_held(void);
/** sched_point(): another thread may go on here. */
void sched_point(void);

/* ---- disk.c: the client's calls of the file system --------------------------------------------------------------------------------- */

enum call { CALL_OPEN, CALL_STAT, CALL_READ, CALL_WRITE, CALL_LIST, CALL_RENAME, CALL_REMOVE, CALL_MAKE, CALL_META, CALL_FLUSH, CALL_COUNT };

/** What is to happen in a pass; 0 for a number: never.  Numbers count calls from 1. */
struct disk_plan {
	uint64_t kill_at;
	uint64_t act_at[3];          /* somebody works in the folder right before the call */
	uint64_t act_at_rename[2];   /* and before one of the renames, which is where most is at stake */
	uint32_t fail_calls;         /* 1 << enum call */
	uint64_t fail_at, fail_count; /* of those */
	int fail_with;               /* errno */
};
#define DISK_UMASK 022
void disk_start(struct dice dice, int64_t tick_ns, bool reuse_inodes);
/** disk_plan(device, plan): counting begins anew. */
void disk_plan(int device, const struct disk_plan *plan);
/** disk_calls(device): how many there have been since. */
uint64_t disk_calls(int device);
/** disk_outside(true): what follows is not the client's: no faults.  Returns what it was. */
bool disk_outside(bool on);

/** disk_value(path, st): stat for who reads whole files: where to write down what was read there; it is 0 again when a call has changed the bytes. */
struct stat;
unsigned *disk_value(const char *path, struct stat *st);
/** disk_doubt(): all are to be read again. */
void disk_doubt(void);

/** disk_hidden(path, value, over): its user has written ${value} over ${over}, and only its change time shows that. */
void disk_hidden(const char *path, unsigned value, unsigned over);

/** disk_is_as_placed(path): its change time is still that of the rename by which a client put it there. */
bool disk_is_as_placed(const char *path);

/* ---- vfs.c: the files of SQLite ------------------------------------------------------------------------------------------------------ */

/** vfs_start(): from now on, also in processes that are forked from this one. */
void vfs_start(void);
/** vfs_copy(from, to): ${to}, which has just been made from ${from}, has its bytes too where these are SQLite's. */
void vfs_copy(const char *from, const char *to);

/* ---- line.c: the client's requests --------------------------------------------------------------------------------------------------- */

struct line_plan {
	uint64_t kill_before, kill_after;   /* the n-th request */
	uint64_t down_from, down_count;     /* attempts that find no server */
	uint32_t lose_request, lose_answer, repeat; /* one in so many; 0: never */
	uint64_t act_at;                    /* somebody works in the folder while the n-th request is under way */
};
void line_start(struct dice dice);
void line_plan(int device, const struct line_plan *plan);
uint64_t line_requests(int device);

/* ---- server.c ---------------------------------------------------------------------------------------------------------------------------- */

struct request {
	const char *method, *target, *token, *accept, *type, *key; /* NULL: not sent */
	bool ranged;
	uint64_t first, last;
	const uint8_t *body; /* NULL: none */
	size_t body_len;
};

#define ANSWER_TEXT_MAX 128
struct answer {
	int status;
	char type[ANSWER_TEXT_MAX], range[ANSWER_TEXT_MAX];
	int64_t retry_after_s;
	bool more;
	uint8_t *body; /* malloc'd */
	size_t len;
};

void server_start(uint64_t seed);
/** server_call(device, rq, out): a request as the server answers it. */
void server_call(int device, const struct request *rq, struct answer *out);
/** What else happens to a server. */
void server_restart(void);
void server_expire(void);
void server_collect(void);
/** server_restore(): as it was at some moment before, with a new epoch. */
void server_restore(struct dice *dice);
const char *server_token(int device);
/** server_link(device): what its folder is linked to, for folder_create. */
struct state_link;
void server_link(int device, struct state_link *out);

/** A live entry; ${value} is what a file holds. */
struct leaf {
	char *path;
	char kind; /* f, d or l */
	uint32_t mode;
	int64_t mtime_ns;
	unsigned value;
	char *target;
};
struct tree {
	struct leaf *leaves;
	size_t n, cap;
};
void tree_add(struct tree *t, const struct leaf *leaf); /* takes the texts */
void tree_sort(struct tree *t);
void tree_free(struct tree *t);
/** tree_difference(a, b, text): false, and what it is, when they are not the same. */
bool tree_same(const struct tree *a, const struct tree *b, char *text, size_t cap);

/** server_tree(t): what is live there. */
void server_tree(struct tree *t);

/* ---- values.c: contents that say what they are --------------------------------------------------------------------------------------- */

#define VALUES_MAX 1024
#define VALUE_NONE 0
#define VALUE_TORN UINT32_MAX /* bytes that nobody ever wrote so */

/** value_new(dice, from): a value that nobody has written yet, made by editing ${from} where that is one. */
unsigned value_new(struct dice *dice, unsigned from);
/** value_same_size(from): another one of the same length. */
unsigned value_same_size(unsigned from);
unsigned value_count(void); /* the last one */
size_t value_size(unsigned v);
/** value_bytes(v, p): all of them. */
void value_bytes(unsigned v, uint8_t *p);
/** value_of(p, len): which these are, to the byte. */
unsigned value_of(const uint8_t *p, size_t len);

/* ---- user.c: what people do in a folder ------------------------------------------------------------------------------------------------- */

void user_start(struct dice *dice);
/** user_act(device): one thing. */
void user_act(int device);
/** user_root(device): the path of its folder. */
const char *user_root(int device);
void user_roots(const char *base);
/** user_tree(root, t): what is in a folder but .dray. */
void user_tree(const char *root, struct tree *t);
/** user_values(root, live, fn, ctx): each value in the folder, of which user_tree has just found ${live}, .dray/trash among it. */
void user_values(const char *root, const struct tree *live, void (*fn)(void *ctx, unsigned value), void *ctx);
/** user_copy(from, to), user_remove(path): whole trees, as backups have them: new inodes, old times. */
void user_copy(const char *from, const char *to);
void user_remove(const char *path);
/** user_reboot(device): after a kill: what the dead process had open is another file now. */
void user_reboot(int device);

/* ---- oracle.c: what must be true --------------------------------------------------------------------------------------------------------- */

void oracle_act(int device);                 /* somebody is about to do something there */
void oracle_wrote(int device, unsigned v);   /* somebody has put it there */
void oracle_removed(int device, unsigned v); /* somebody who had it has overwritten or deleted it */
void oracle_moved(int device, unsigned v);   /* somebody has done something else with it */
/** oracle_unseen(device, v, over): ${v} was written over ${over} so that nothing but its bytes shows it; README.md says why that is known. */
void oracle_unseen(int device, unsigned v, unsigned over);
/** What has happened in a folder, and elsewhere, when a sync of it begins. */
struct mark {
	uint64_t acts, others;
};
struct mark oracle_mark(int device);

/** oracle_committed(device): after each request that may have changed the server's tree; -1: it was restored. */
void oracle_committed(int device);
/** oracle_pass(device, began, identical): a sync that began at ${began} has ended, or was killed; it says that all is the same. */
void oracle_pass(int device, const struct mark *began, bool identical);
/** oracle_imaged(device), oracle_put_back(device): its folder was copied; it is as it was then. */
void oracle_imaged(int device);
void oracle_put_back(int device);
/** oracle_end(): all is quiet. */
void oracle_end(void);
