/*
 * How long the collector reads at a time: a reader that stays keeps SQLite's log from starting over.  Linked with --wrap=clock_mono_ms, which
 * moves on by STEP_MS with each look, and with --wrap=meta_begin, which counts readers.
 */
#include "../domain/rig.h"

#include "server/job/gc.h"

enum { FILES = 60, STEP_MS = 10, SHORT_MS = 50 };

static bool counting;
static int64_t now_ms = 1000000;
static unsigned readers;

int64_t __real_clock_mono_ms(void);
int64_t __wrap_clock_mono_ms(void);
err_code __real_meta_begin(struct meta *m, enum meta_mode mode, struct meta_tx **tx, struct err *err);
err_code __wrap_meta_begin(struct meta *m, enum meta_mode mode, struct meta_tx **tx, struct err *err);

int64_t
__wrap_clock_mono_ms(void)
{
	return counting ? now_ms += STEP_MS : __real_clock_mono_ms();
}

err_code
__wrap_meta_begin(struct meta *m, enum meta_mode mode, struct meta_tx **tx, struct err *err)
{
	readers += counting && mode == META_READ;
	return __real_meta_begin(m, mode, tx, err);
}

static void
make_files(struct rig *r)
{
	char path[32];

	for (unsigned i = 0; i < FILES; i++) {
		(void)snprintf(path, sizeof path, "file %u", i);
		rig_do(r, put_text(r, path, path));
	}
}

static struct gc_report
collect_counted(struct rig *r, bool dry_run)
{
	struct gc_report report;

	counting = true;
	readers = 0;
	assert_ok(r, gc_collect(r->d, r->meta, r->store, dry_run, &report, &r->err));
	counting = false;
	assert_int_equal(report.chunks_kept, FILES);
	assert_int_equal(report.lists_removed, 0);
	return report;
}

/* Contents, and objects, of which each costs a look-up: no reader looks at more of them than fit into SHORT_MS. */
static void
readers_are_short(void **state)
{
	struct rig *r = *state;

	make_files(r);
	collect_counted(r, false);
	assert_true(readers >= 2 * FILES * STEP_MS / SHORT_MS);
}

/* A dry run also looks at the names of each page, in one more walk; its answer is the same. */
static void
dry_readers_are_short(void **state)
{
	struct rig *r = *state;

	make_files(r);
	collect_counted(r, true);
	assert_true(readers >= 3 * FILES * STEP_MS / SHORT_MS);
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test_setup_teardown(readers_are_short, rig_setup, rig_teardown),
		cmocka_unit_test_setup_teardown(dry_readers_are_short, rig_setup, rig_teardown),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
