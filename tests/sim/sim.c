/*
 * A seed: what the people of three devices do, when their devices sync, and what goes wrong, until it stops going wrong and all is quiet.
 */
#include "run.h"

#include <errno.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/log.h"
#include "base/map.h"
#include "client/sync.h"
#include "sim.h"

#define STEPS_MAX 60
#define ROUNDS_MAX 10 /* in which all is quiet once nothing goes wrong any more */
#define S INT64_C(1000000000)
#define DAY (86400 * S)

/* What may happen in a seed: a subset, since what is always on hides what needs the others' absence. */
struct swarm {
	bool kill, disk, line, act_in_pass, together, jump, days, restart, collect, restore, image;
	uint32_t sync_one_in;
};

struct turn {
	int device;
	struct mark began;
	bool ended, identical, quiet; /* quiet: there was nothing to do */
	struct err err;
	char problem[512];
};

static struct swarm swarm;
static struct dice dice;
static struct turn passes[DEVICES];
static bool has_image[DEVICES];
static char base[128];

/* ---- a sync ------------------------------------------------------------------------------------------------------------------------ */

static void
note(struct turn *p, const struct sync_result *r, err_code rc)
{
	p->identical = rc == ERR_OK && r->identical;
	p->quiet = p->identical && r->pushed + r->pulled + r->moved_local + r->moved_remote + r->deleted_local + r->deleted_remote == 0;
	if (r->problem_count)
		snprintf(p->problem, sizeof p->problem, "%s: %s: %s", r->problems[0].path, r->problems[0].reason, r->problems[0].detail);
}

static void *
sync_main(void *arg)
{
	struct turn *p = arg;
	struct report *report = report_new(&(struct report_opts){ .quiet = true });
	struct sync_opts opts = { .report = report, .parallel = 2 };
	struct sync_result result;
	struct folder *f;
	err_code rc = folder_open(user_root(p->device), &f, &p->err);

	if (rc == ERR_OK) {
		rc = sync_run(f, &opts, &result, &p->err);
		note(p, &result, rc);
		sync_result_fini(&result);
		folder_free(f);
	}
	if (rc == ERR_OK)
		p->err.code = ERR_OK;
	report_free(report);
	p->ended = true;
	return NULL;
}

/* One number a statement: in one expression, compilers would draw them in an order of their own. */
static uint64_t
any_call(uint64_t most)
{
	return 1 + dice_u64(&dice) % most;
}

static void
plan_disk(int device)
{
	static const int errors[] = { EIO, ENOSPC, EACCES, EIO };
	struct disk_plan p = { 0 };

	if (swarm.kill && dice_one_in(&dice, 4))
		p.kill_at = any_call(dice_one_in(&dice, 2) ? 60 : 800);
	for (size_t i = 0; swarm.act_in_pass && i < ARRAY_LEN(p.act_at); i++)
		p.act_at[i] = dice_one_in(&dice, 3) ? any_call(400) : 0;
	for (size_t i = 0; swarm.act_in_pass && i < ARRAY_LEN(p.act_at_rename); i++)
		p.act_at_rename[i] = dice_one_in(&dice, 2) ? any_call(12) : 0;
	if (swarm.disk && dice_one_in(&dice, 3)) {
		p.fail_calls = dice_one_in(&dice, 2) ? 1U << dice_below(&dice, CALL_COUNT) : (uint32_t)dice_u64(&dice);
		p.fail_at = any_call(dice_one_in(&dice, 2) ? 10 : 200);
		p.fail_count = dice_one_in(&dice, 2) ? 1 : any_call(20);
		p.fail_with = errors[dice_below(&dice, ARRAY_LEN(errors))];
	}
	disk_plan(device, &p);
}

static void
plan_line(int device)
{
	struct line_plan p = { 0 };

	if (swarm.line && dice_one_in(&dice, 2)) {
		p.lose_request = dice_below(&dice, 2) * 8;
		p.lose_answer = dice_below(&dice, 2) * 8;
		p.repeat = dice_below(&dice, 2) * 5;
		p.down_from = any_call(12);
		p.down_count = any_call(8);
		p.down_count *= dice_below(&dice, 2);
	}
	if (swarm.kill && dice_one_in(&dice, 6)) {
		uint64_t *kill = dice_one_in(&dice, 2) ? &p.kill_before : &p.kill_after;

		*kill = any_call(12);
	}
	if (swarm.act_in_pass && dice_one_in(&dice, 3))
		p.act_at = any_call(12);
	line_plan(device, &p);
}

static void
pass_begin(int device, bool faults)
{
	struct turn *p = &passes[device];

	*p = (struct turn){ .device = device, .began = oracle_mark(device) };
	disk_plan(device, &(struct disk_plan){ 0 });
	line_plan(device, &(struct line_plan){ 0 });
	if (faults) {
		plan_disk(device);
		plan_line(device);
	}
	trace("sync", (uint64_t)device, faults);
	sched_spawn(device, sync_main, p);
}

static void
pass_end(int device)
{
	struct turn *p = &passes[device];

	if (!p->ended)
		user_reboot(device);
	trace("synced", p->ended, p->err.code);
	if (trace_is_shown() && (p->err.code || p->problem[0]))
		fprintf(stderr, "   %s %s\n", p->err.msg, p->problem);
	oracle_pass(device, &p->began, p->identical);
}

static void
sync_devices(unsigned which, bool faults)
{
	for (int i = 0; i < DEVICES; i++)
		if (which & 1U << i)
			pass_begin(i, faults);
	sched_wait();
	for (int i = 0; i < DEVICES; i++)
		if (which & 1U << i)
			pass_end(i);
}

/* ---- what else happens ---------------------------------------------------------------------------------------------------------------- */

static void
jump(void)
{
	int64_t *skew = time_skew(dice_below(&dice, DEVICES + 1));

	*skew = dice_one_in(&dice, 3) ? 0 : (int64_t)(dice_u64(&dice) % (uint64_t)(4 * DAY)) - 2 * DAY;
	trace("clock", (uint64_t)*skew, 0);
}

static void
image(int device)
{
	char path[sizeof base + 16];

	snprintf(path, sizeof path, "%s/image%d", base, device);
	if (!has_image[device]) {
		trace("image", (uint64_t)device, 0);
		user_copy(user_root(device), path);
		oracle_imaged(device);
		has_image[device] = true;
		return;
	}
	trace("put back", (uint64_t)device, 0);
	oracle_put_back(device);
	user_remove(user_root(device));
	user_copy(path, user_root(device));
}

static void
incident(void)
{
	int device = (int)dice_below(&dice, DEVICES);

	switch (dice_below(&dice, 6)) {
	case 0:
		if (swarm.jump)
			jump();
		break;
	case 1:
		if (swarm.days)
			time_pass((int64_t)(1 + dice_below(&dice, 120)) * DAY);
		if (swarm.days)
			server_expire();
		break;
	case 2:
		if (swarm.restart)
			server_restart();
		break;
	case 3:
		if (swarm.collect)
			server_collect();
		break;
	case 4:
		if (swarm.restore && dice_one_in(&dice, 3))
			server_restore(&dice);
		break;
	default:
		if (swarm.image)
			image(device);
	}
}

static void
step(void)
{
	unsigned which = 1U << dice_below(&dice, DEVICES);

	if (dice_one_in(&dice, 8)) {
		incident();
	} else if (dice_one_in(&dice, swarm.sync_one_in)) {
		if (swarm.together && dice_one_in(&dice, 2))
			which |= dice_one_in(&dice, 2) ? (1U << DEVICES) - 1 : 1U << dice_below(&dice, DEVICES);
		sync_devices(which, true);
	} else {
		user_act((int)dice_below(&dice, DEVICES));
	}
}

/* ---- the end -------------------------------------------------------------------------------------------------------------------------------- */

static void
settle(void)
{
	const struct turn *noisy = NULL;

	for (unsigned round = 0; round < ROUNDS_MAX; round++) {
		bool quiet = true;

		for (int i = 0; i < DEVICES; i++) {
			sync_devices(1U << i, false);
			quiet &= passes[i].quiet;
			if (!passes[i].quiet)
				noisy = &passes[i];
		}
		if (quiet)
			return;
	}
	fail("P14", "device %d is not quiet after %d rounds: %s%s %s", noisy->device, ROUNDS_MAX, noisy->identical ? "in sync, " : "",
	    noisy->err.code ? noisy->err.msg : "", noisy->problem);
}

static bool
often(void)
{
	return dice_one_in(&dice, 2);
}

static void
swarm_choose(void)
{
	bool calm = dice_one_in(&dice, 10);

	bool *const parts[] = { &swarm.kill, &swarm.disk, &swarm.line, &swarm.act_in_pass, &swarm.together, &swarm.jump, &swarm.days,
		&swarm.restart, &swarm.collect };

	for (size_t i = 0; i < ARRAY_LEN(parts); i++)
		*parts[i] = often();
	swarm.restore = dice_one_in(&dice, 4);
	swarm.image = dice_one_in(&dice, 4);
	if (calm)
		swarm = (struct swarm){ .together = often() };
	swarm.sync_one_in = 2 + dice_below(&dice, 5);
}

static void
link_devices(void)
{
	bool was = disk_outside(true);

	user_roots(base);
	for (int i = 0; i < DEVICES; i++) {
		struct state_link link;
		struct err err;

		server_link(i, &link);
		if (mkdir(user_root(i), 0700) || folder_create(user_root(i), &link, server_token(i), &err))
			fail("sim", "link %s: %s", user_root(i), err.msg);
	}
	disk_outside(was);
}

uint64_t
run_seed(uint64_t seed, const char *dir)
{
	static const int64_t ticks[] = { 1, 1000, 4000000, 10000000 };
	static struct dice people;
	uint32_t steps;
	int64_t tick;

	snprintf(base, sizeof base, "%s", dir);
	umask(DISK_UMASK);
	log_setup(LOG_ERROR, false);
	chance_start(seed);
	map_free(map_new()); /* its secret is made once: before the server, which may be made again, uses the same numbers */
	dice = chance_stream(seed, 1);
	people = chance_stream(seed, 2);
	swarm_choose();
	sched_start(chance_stream(seed, 3), often() ? 4 : 40);
	tick = ticks[dice_below(&dice, ARRAY_LEN(ticks))];
	disk_start(chance_stream(seed, 4), tick, often());
	line_start(chance_stream(seed, 5));
	server_start(seed);
	user_start(&people);
	link_devices();
	steps = 5 + dice_below(&dice, STEPS_MAX);
	for (uint32_t i = 0; i < steps; i++)
		step();
	settle();
	oracle_end();
	return trace_hash();
}
