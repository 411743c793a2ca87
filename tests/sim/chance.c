/*
 * Where randomness and time come from: twins of base/rng and of the kernel's clocks, by link.
 */
#include "sim.h"

#include <time.h>
#include <unistd.h>

#include "base/rng.h"

#define NS_PER_S INT64_C(1000000000)
#define BEGIN_WALL (INT64_C(1577836800) * NS_PER_S) /* 2020-01-01 */
#define BEGIN_MONO (1000 * NS_PER_S)
#define READ_NS 1000                                 /* looking at the clock takes time, so that no two looks are the same */

static uint64_t seed_now;
static struct dice rng;
static int64_t now;
static int64_t skew[DEVICES + 1];
static int as = -1;
static uint64_t hash;
static bool shown;

/* splitmix64 */
uint64_t
dice_u64(struct dice *d)
{
	uint64_t z = d->s += UINT64_C(0x9e3779b97f4a7c15);

	z = (z ^ z >> 30) * UINT64_C(0xbf58476d1ce4e5b9);
	z = (z ^ z >> 27) * UINT64_C(0x94d049bb133111eb);
	return z ^ z >> 31;
}

uint32_t
dice_below(struct dice *d, uint32_t n)
{
	return (uint32_t)((dice_u64(d) >> 32) * n >> 32);
}

bool
dice_one_in(struct dice *d, uint32_t n)
{
	return n > 0 && dice_below(d, n) == 0;
}

struct dice
chance_stream(uint64_t seed, uint64_t number)
{
	struct dice d = { seed * UINT64_C(0xd1342543de82ef95) + number };

	return (struct dice){ dice_u64(&d) };
}

void
chance_start(uint64_t seed)
{
	seed_now = seed;
	rng = chance_stream(seed, 0);
	hash = UINT64_C(0xcbf29ce484222325);
	shown = getenv("DRAY_SIM_TRACE") != NULL;
	now = BEGIN_MONO;
}

struct dice
chance_rng(struct dice set)
{
	struct dice old = rng;

	rng = set;
	return old;
}

void
rng_bytes(void *p, size_t len)
{
	uint8_t *out = p;

	for (size_t i = 0; i < len; i++)
		out[i] = (uint8_t)(dice_u64(&rng) >> 56);
}

uint64_t
rng_u64(void)
{
	return dice_u64(&rng);
}

/* ---- time ------------------------------------------------------------------------------------------------------------------------ */

int64_t
time_now(void)
{
	return now;
}

void
time_pass(int64_t ns)
{
	now += ns;
}

void
time_set(int64_t ns)
{
	now = ns;
}

int64_t *
time_skew(unsigned machine)
{
	return &skew[machine];
}

int
time_as(int device)
{
	int was = as;

	as = device;
	return was;
}

int64_t
time_wall(void)
{
	int device = as >= 0 ? as : sched_is_held() ? -1 : sched_device();

	return BEGIN_WALL + now + skew[device < 0 ? DEVICES : device];
}

int __wrap_clock_gettime(clockid_t id, struct timespec *ts);

int
__wrap_clock_gettime(clockid_t id, struct timespec *ts)
{
	int64_t at;

	now += READ_NS;
	at = id == CLOCK_MONOTONIC ? now : time_wall();
	*ts = (struct timespec){ .tv_sec = at / NS_PER_S, .tv_nsec = at % NS_PER_S };
	return 0;
}

/* ---- the trace --------------------------------------------------------------------------------------------------------------------- */

static void
mix(const void *p, size_t len)
{
	const uint8_t *b = p;

	for (size_t i = 0; i < len; i++)
		hash = (hash ^ b[i]) * UINT64_C(0x100000001b3);
}

void
trace(const char *what, uint64_t a, uint64_t b)
{
	mix(what, strlen(what));
	mix(&a, sizeof a);
	mix(&b, sizeof b);
	if (shown)
		fprintf(stderr, "%2d %s %llu %llu\n", sched_device(), what, (unsigned long long)a, (unsigned long long)b);
}

void
trace_text(const char *what, const char *text)
{
	mix(what, strlen(what));
	mix(text, strlen(text));
	if (shown)
		fprintf(stderr, "%2d %s %s\n", sched_device(), what, text);
}

uint64_t
trace_hash(void)
{
	return hash;
}

bool
trace_is_shown(void)
{
	return shown;
}

static void FORMAT(2, 0)
say(const char *promise, const char *fmt, va_list ap)
{
	fprintf(stderr, "seed %llu: %s: ", (unsigned long long)seed_now, promise);
	vfprintf(stderr, fmt, ap);
	fputc('\n', stderr);
}

void
fail(const char *promise, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(promise, fmt, ap);
	va_end(ap);
	_exit(1);
}

void
fail_known(const char *promise, const char *fmt, ...)
{
	va_list ap;

	va_start(ap, fmt);
	say(promise, fmt, ap);
	va_end(ap);
	_exit(STATUS_KNOWN);
}
