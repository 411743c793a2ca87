#include "base/clock.h"
#include "base/fault.h"
#include "base/limits.h"
#include "base/path.h"
#include "client/carry.h"
#include "client/commit/apply.h"
#include "client/feed.h"
#include "client/ignore/ignore.h"
#include "client/recover.h"

#define ROUNDS_MAX 8              /* a conflict takes two, a moved and edited file two; more means that somebody keeps writing */
#define RESULT_MEMORY_MAX (1 * GIB)
#define LISTS_KEEP_US (24 * 3600 * INT64_C(1000000)) /* an edit that is taken back within a day costs no bytes */
#define LISTS_PRUNE_PAGES 4096    /* in one sync: a 16 GiB file's list, 10 MB */

void
sync_problem(struct sync_result *r, const char *path, const char *reason, const char *detail)
{
	if (map_put(r->problem_paths, path, strlen(path), r))
		return;
	r->problems = xrealloc(r->problems, (r->problem_count + 1) * sizeof *r->problems);
	r->problems[r->problem_count++] = (struct problem){
		.path = arena_strdup(r->arena, path),
		.reason = arena_strdup(r->arena, reason),
		.detail = arena_strdup(r->arena, detail ? detail : ""),
	};
}

static void
scanned(void *ctx, uint64_t entries)
{
	report_count(ctx, "Scanning", entries);
}

static void
listed(void *ctx, uint64_t entries)
{
	report_count(ctx, "Listing", entries);
}

/* ---- holds ----------------------------------------------------------------------------------------------------------------------- */

static bool
is_delete(enum act act)
{
	return act == ACT_DELETE_LOCAL || act == ACT_DELETE_REMOTE;
}

/* Leaves deletions out of the plan, those on the server only unless ${here} too; how many. */
static uint64_t
leave_out(struct plan *plan, bool here)
{
	size_t kept = 0, n = plan->n;

	for (size_t i = 0; i < n; i++)
		if (!(here ? is_delete(plan->ops[i].act) : plan->ops[i].act == ACT_DELETE_REMOTE))
			plan->ops[kept++] = plan->ops[i];
	plan->n = kept;
	return n - kept;
}

static bool
too_many(const struct pass *pass)
{
	size_t deletes = pass->plan.deletes_local + pass->plan.deletes_remote;

	return deletes > MASS_DELETE_MIN && deletes * 100 > pass->known * MASS_DELETE_PERCENT && !FAULT("client.no_hold");
}

/*
 * So many deletions at once are more often a mistake than a wish: leave them out of the plan and say so.  What the server has held once it
 * would hold again in each round.
 */
static void
hold_deletes(struct pass *pass, const struct sync_opts *opts, struct sync_result *result)
{
	if (opts->allow_mass_delete)
		return;
	if (too_many(pass))
		result->held_deletes = leave_out(&pass->plan, true);
	else if (result->held_there > 0 || opts->deletes_wait)
		result->held_there = leave_out(&pass->plan, false);
}

/* ---- rules first ----------------------------------------------------------------------------------------------------------------- */

static bool
is_local(enum act act)
{
	return act == ACT_PULL || act == ACT_DELETE_LOCAL || act == ACT_CONFLICT;
}

/* Whether the operation makes way for one of the rules, as its directory. */
static bool
is_above(const struct map *dirs, const struct plan_op *op)
{
	return map_get(dirs, op->path, strlen(op->path)) && (op->act == ACT_PULL || op->act == ACT_CONFLICT);
}

static void
note_dirs(struct map *dirs, const char *path)
{
	size_t len;

	for (path_split(path, &len); len > 0; len -= len > 0) {
		if (map_put(dirs, path, len, dirs))
			return;
		while (len > 0 && path[len - 1] != '/')
			len--;
	}
}

/*
 * Where the server has other ignore rules than are here, nothing else of the plan is carried out: what follows from them is for the next look, and
 * nothing that they ignore is sent, or fetched, before.
 */
static bool
rules_first(struct pass *pass, const struct map *given_up)
{
	AUTO(map_freep) struct map *dirs = map_new();
	struct plan *plan = &pass->plan;
	size_t kept = 0;
	bool found = false;

	for (size_t i = 0; i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];

		if (!ignore_is_file(op->path) || !is_local(op->act) || map_get(given_up, op->path, strlen(op->path)))
			continue;
		found = true;
		note_dirs(dirs, op->path);
	}
	for (size_t i = 0; found && i < plan->n; i++) {
		const struct plan_op *op = &plan->ops[i];

		if ((ignore_is_file(op->path) && is_local(op->act)) || is_above(dirs, op))
			plan->ops[kept++] = *op;
	}
	if (found)
		plan->n = kept;
	return found;
}

/* ---- what is not selected ------------------------------------------------------------------------------------------------------- */

/* It goes before anything else is done, so that all else is planned for the tree without it. */
static bool
drops_first(struct pass *pass, const struct map *given_up)
{
	struct plan *plan = &pass->plan;
	size_t drops = 0, kept = 0;

	for (size_t i = 0; i < plan->n; i++)
		drops += plan->ops[i].act == ACT_DROP && !map_get(given_up, plan->ops[i].path, strlen(plan->ops[i].path));
	for (size_t i = 0; drops > 0 && i < plan->n; i++)
		if (plan->ops[i].act == ACT_DROP)
			plan->ops[kept++] = plan->ops[i];
	if (drops > 0)
		plan->n = kept;
	return drops > 0;
}

/* ---- a round ----------------------------------------------------------------------------------------------------------------------- */

static size_t
steps(const struct plan *plan)
{
	size_t n = 0;

	for (size_t i = 0; i < plan->n; i++)
		n += plan->ops[i].act != ACT_SKIP;
	return n;
}

static void
copy_problems(struct sync_result *result, const struct pass *pass)
{
	for (size_t i = 0; i < pass->problem_count; i++)
		sync_problem(result, pass->problems[i].path, pass->problems[i].reason, pass->problems[i].detail);
}

/*
 * A look at everything; or, while ${rest} has what the last one has left and the server has had nothing to say since, the next of that.
 * When it has, the two may meet at one name.
 */
static err_code
look(struct folder *f, struct remote *remote, const struct sync_opts *opts, size_t slice, const struct map *given_up, struct rest **rest,
    struct pass **pass, struct err *err)
{
	struct state_totals totals;
	struct pass_opts look_opts = { .slice = slice,
		.given_up = given_up,
		.verify = opts->verify,
		.held = opts->held,
		.cancel = opts->cancel,
		.carried_out = !opts->dry_run,
		.remote = remote,
		.progress = scanned,
		.ctx = opts->report };
	err_code rc = feed_pull(f->state, remote, &(struct feed_opts){ .allow_shrink = opts->allow_mass_delete, .progress = listed, .ctx = opts->report }, err);

	if (rc == ERR_OK)
		rc = state_totals(f->state, &totals, err);
	if (rc)
		return rc;
	if (rest_sum(*rest).entries > 0 && totals.pending == 0) {
		pass_continue(*rest, &look_opts, pass);
		return ERR_OK;
	}
	rest_free(TAKE(*rest));
	rc = pass_open(f, &look_opts, pass, err);
	report_clear(opts->report);
	return rc;
}

/*
 * A pass that has left something for the next one is not a round of its own.  When it has brought nothing forward, what is in its way is
 * not going to leave: then everything is looked at together.
 */
static err_code
next_slice(struct folder *f, const struct state_totals *before, size_t *slice, struct rest **rest, struct err *err)
{
	struct state_totals now;
	err_code rc = state_totals(f->state, &now, err);

	if (rc == ERR_OK && now.entries == before->entries && now.pending == before->pending) {
		*slice = 0;
		rest_free(TAKE(*rest));
	}
	return rc;
}

/* What a look at everything says of what is left as it is; a pass that continues has not looked. */
static void
note_look(struct sync_result *result, const struct pass *pass)
{
	if (pass->continued)
		return;
	result->held_back = pass->held_back;
	result->ignored = pass->ignored_count;
	result->unselected = pass->unselected;
	result->unselected_bytes = pass->unselected_bytes;
}

static err_code
rounds(struct folder *f, struct remote *remote, const struct sync_opts *opts, struct sync_result *result, struct map *given_up,
    struct err *err)
{
	AUTO(transfer_progress_freep) struct transfer_progress *progress = transfer_progress_new();
	struct carry_env env = { .folder = f, .remote = remote, .opts = opts, .result = result, .given_up = given_up, .progress = progress };
	AUTO(rest_freep) struct rest *rest = NULL;
	size_t slice = opts->dry_run ? 0 : pass_slice();
	bool again = true;

	for (unsigned round = 0; again && round < ROUNDS_MAX;) {
		AUTO(pass_freep) struct pass *pass = NULL;
		struct state_totals before;
		bool drops, first;
		err_code rc = look(f, remote, opts, slice, given_up, &rest, &pass, err);
		if (rc == ERR_VERSION_CONFLICT && ++round < ROUNDS_MAX)
			continue;
		if (rc == ERR_OK)
			rc = state_totals(f->state, &before, err);
		if (rc == ERR_OK && pass->plan.deletes_remote > 0 && !FAULT("client.unsure_deletes"))
			rc = state_base_verify(f->state, err); /* the proof of a deletion is a row that was written so (I9) */
		if (rc)
			return rc;
		note_look(result, pass);
		hold_deletes(pass, opts, result);
		drops = !opts->dry_run && drops_first(pass, given_up);
		first = drops || (!opts->dry_run && rules_first(pass, given_up));
		if (!first) /* else the next look has the say: what is wrong may be what is about to be put right */
			copy_problems(result, pass);
		if (opts->dry_run) {
			result->planned = TAKE(pass);
			return ERR_OK;
		}
		again = false;
		rc = carry_out(&env, pass, &again, err);
		again |= first || pass->continued;
		if (!first && pass->rest)
			rest = TAKE(pass->rest); /* what it lies in has been made */
		if (rc == ERR_OK && pass->deferred.entries > 0 && !drops) {
			again = true;
			rc = next_slice(f, &before, &slice, &rest, err);
			if (rc)
				return rc;
			continue;
		}
		if (rc)
			return rc;
		if (steps(&pass->plan) == 0 && !pass->continued)
			break;
		round++;
	}
	if (again)
		sync_problem(result, "", "busy", "files kept changing while they were synced; run it again");
	return ERR_OK;
}

/* ---- where we are -------------------------------------------------------------------------------------------------------------- */

/* Tell the server how far this device has come; once for each new place. */
static err_code
report_place(struct remote *remote, struct state_place *place, struct err *err)
{
	struct cursor at = { .clock = place->clock, .epoch = place->epoch, .has_epoch = true };
	err_code rc;

	if (!place->known || place->reported == place->clock)
		return ERR_OK;
	rc = remote_checkpoint_put(remote, &at, err);
	if (rc == ERR_OK)
		place->reported = place->clock;
	return rc;
}

/* Something is held back, or cannot be synced. */
static bool
is_left(const struct sync_result *r)
{
	return r->problem_count > 0 || r->held_deletes > 0 || r->held_there > 0 || r->held_back > 0;
}

static err_code
conclude(struct folder *f, struct remote *remote, struct sync_result *result, struct err *err)
{
	struct state_totals totals;
	struct state_place place;
	struct hash known;
	err_code rc = state_totals(f->state, &totals, err);

	if (rc == ERR_OK)
		rc = state_place_get(f->state, &place, err);
	if (rc)
		return rc;
	known = state_tree_digest(&totals);
	result->entries = totals.entries;
	result->left_out = totals.left_out;
	result->files = totals.files;
	result->bytes = totals.bytes;
	result->clock = place.clock;
	result->identical = totals.pending == 0 && !is_left(result) && (hash_eq(&known, &place.digest) || FAULT("client.believes"));
	rc = report_place(remote, &place, err);
	if (rc)
		return rc;
	if (result->identical) {
		place.synced_at = clock_wall_us();
		apply_temps_clear(f->root);
	}
	result->place = place;
	rc = state_begin(f->state, err);
	if (rc == ERR_OK)
		rc = state_place_put(f->state, &place, err);
	if (rc == ERR_OK && result->identical)
		rc = state_aside_clear(f->state, err); /* all has been sent: no copy waits */
	if (rc == ERR_OK)
		rc = state_blocks_prune(f->state, clock_wall_us() - LISTS_KEEP_US, LISTS_PRUNE_PAGES, err);
	return state_end(f->state, rc, err);
}

/*
 * Nothing is left to do and yet the sums differ: what we remember is wrong (a damaged or rolled back state).  Have everything listed
 * again; what is equal is adopted, nothing is sent twice.
 */
static err_code
repair(struct folder *f, struct remote *remote, const struct sync_opts *opts, struct sync_result *result, struct map *given_up,
    struct err *err)
{
	struct state_place place;
	err_code rc = state_place_get(f->state, &place, err);

	if (rc == ERR_OK)
		rc = state_begin(f->state, err);
	if (rc)
		return rc;
	place.known = false;
	place.clock = 0;
	rc = state_pending_clear(f->state, err); /* also what is left out: it is listed with the rest */
	if (rc == ERR_OK)
		rc = state_place_put(f->state, &place, err);
	rc = state_end(f->state, rc, err);
	if (rc)
		return rc;
	rc = rounds(f, remote, opts, result, given_up, err);
	return rc ? rc : conclude(f, remote, result, err);
}

/* Something that only another look can settle; what is held back or cannot be synced cannot. */
static bool
unsettled(const struct sync_result *r)
{
	return !r->identical && !is_left(r);
}

static err_code
run(struct folder *f, struct remote *remote, const struct sync_opts *opts, struct sync_result *result, struct err *err)
{
	AUTO(map_freep) struct map *given_up = map_new();
	err_code rc = recover_installed(f, remote, opts->cancel, err);

	if (rc == ERR_OK)
		rc = rounds(f, remote, opts, result, given_up, err);
	if (rc || opts->dry_run)
		return rc;
	rc = conclude(f, remote, result, err);
	if (rc == ERR_OK && unsettled(result)) {
		/* Others have committed between our own commits: read on to where the server is now. */
		rc = rounds(f, remote, opts, result, given_up, err);
		if (rc == ERR_OK)
			rc = conclude(f, remote, result, err);
	}
	if (rc == ERR_OK && unsettled(result))
		rc = repair(f, remote, opts, result, given_up, err);
	if (rc == ERR_OK && unsettled(result))
		sync_problem(result, "", "digest_differs", "the server's tree is not the one that is here; run it again");
	return rc;
}

/*
 * Whether it was the state that could not be read, or was not what had been written; then it is set aside, and the sync is one of two trees that
 * know nothing of each other: nothing is deleted.
 */
static err_code
mend(struct folder *f, struct remote *remote, const struct sync_opts *opts, struct sync_result *result, err_code code, struct err *err)
{
	struct err why;
	err_code rc;

	if ((code != ERR_CORRUPT && code != ERR_STATE_DAMAGED && code != ERR_DB && code != ERR_EXISTS) || opts->dry_run || f->renewed)
		return code;
	if (state_holds(f->state, &why) != ERR_STATE_DAMAGED)
		return code;
	rc = folder_renew(f, &why, err);
	return rc ? rc : run(f, remote, opts, result, err);
}

/* What the folder has been through: told once. */
static err_code
settle(struct folder *f, const struct sync_opts *opts, struct sync_result *result, struct err *err)
{
	if (f->renewed)
		result->renewed = arena_strdup(result->arena, f->renewed);
	result->copied = f->copied;
	return f->copied && !opts->dry_run ? folder_united(f, err) : ERR_OK;
}

err_code
sync_run(struct folder *f, const struct sync_opts *opts, struct sync_result *out, struct err *err)
{
	int64_t started_ms = clock_mono_ms();
	struct remote *remote = opts->remote;
	struct remote_stats before = { 0 };
	err_code rc = ERR_OK;

	*out = (struct sync_result){ .arena = arena_new(RESULT_MEMORY_MAX), .problem_paths = map_new() };
	if (remote)
		remote_stats(remote, &before);
	else
		rc = folder_remote(f, &(struct line_opts){ opts->retry_ms, opts->rate, opts->cancel }, &remote, err);
	if (rc)
		return rc;
	rc = run(f, remote, opts, out, err);
	if (rc)
		rc = mend(f, remote, opts, out, rc, err);
	if (rc == ERR_OK)
		rc = settle(f, opts, out, err);
	remote_stats(remote, &out->line);
	out->line.requests -= before.requests;
	out->line.retries -= before.retries;
	out->line.bytes_up -= before.bytes_up;
	out->line.bytes_down -= before.bytes_down;
	if (!opts->remote)
		remote_free(remote);
	out->elapsed_ms = clock_mono_ms() - started_ms;
	return rc;
}

void
sync_result_fini(struct sync_result *r)
{
	pass_free(r->planned);
	free(r->conflicts);
	free(r->problems);
	free(r->kept);
	map_free(r->problem_paths);
	arena_free(r->arena);
}
