#pragma once
/** Shared by agent.c (when), worker.c (carrying out) and agent_status.c (telling). */

#include "base/thread.h"
#include "client/watch/agent.h"
#include "client/watch/control.h"
#include "client/watch/quiet.h"
#include "client/watch/tree_watch.h"

/** A thread that runs passes, one at a time. */
struct worker {
	const struct agent_opts *opts;
	int wake;               /* eventfd: written to when a pass has ended */
	pthread_t thread;
	struct mutex lock;      /* RANK_LEAF; guards what follows */
	struct cond work;
	bool stop, busy, done;
	struct agent_pass job;
	struct agent_done result;
	err_code rc;
	struct err err;
	bool cancel;            /* read by the pass without the lock */
};

err_code worker_start(struct worker *w, const struct agent_opts *opts, int wake, struct err *err);
void worker_stop(struct worker *w); /* waits for the pass to end */

/** worker_run(w, held, verify): begin a pass; takes ${held}.  None may run. */
void worker_run(struct worker *w, struct map *held, bool verify);

/** worker_cancel(w): have the pass end soon, if one runs. */
void worker_cancel(struct worker *w);

/** worker_result(w, out, rc, err): true once for each pass that has ended. */
bool worker_result(struct worker *w, struct agent_done *out, err_code *rc, struct err *err);

/** What keeps the agent from being in step, as the last pass left it. */
enum trouble { TROUBLE_NONE, TROUBLE_OFFLINE, TROUBLE_TURN /* another dray works here */, TROUBLE_OTHER };

struct agent {
	struct agent_opts opts;
	pthread_t thread;
	int wake, clock;        /* eventfd; a timer that tells when the clock was set, or the machine has slept */
	_Atomic bool stop, ended;

	/* the front's */
	struct worker worker;
	struct events *events;
	int dot;                /* the .dray directory, -1 while the folder is not there */
	struct tree_watch *watch;
	struct quiet *quiet;
	struct control *control;
	bool paused, busy;
	bool again, asked;      /* a pass is wanted: something is left; a person wants it */
	bool rewatch;           /* events were lost, or the root is another one: watch anew */
	bool unsure;             /* with rewatch: events were lost, so what is being written is not known */
	int64_t not_before_ms;  /* after a pass that failed; these are times of CLOCK_BOOTTIME, which counts sleep */
	int64_t pass_ms, verify_ms, attach_ms; /* when the next of each is due */
	unsigned attempts;      /* passes that failed, in a row */
	enum trouble trouble;
	struct err why;         /* of the trouble */
	bool verifying;         /* the pass that runs reads everything */
	uint64_t news_begun, news_done; /* of events_seen: when the pass began; when one that came to its end did */
	struct events_seen heard;
	struct agent_done last;
	int64_t pass_at, since; /* wall time: of the end of the last pass, and since when the state is what it is */
	const char *state;
	uint64_t passes;
};

/** agent_state(a): "watching", "syncing", "paused", "connecting", "offline", "waiting", "failing", "gone"; agent_note keeps since when. */
void agent_note(struct agent *a);
const char *agent_state(const struct agent *a);

/** agent_status(a, sb): what dray status shows, as a JSON object. */
void agent_status(const struct agent *a, struct sbuf *sb);
