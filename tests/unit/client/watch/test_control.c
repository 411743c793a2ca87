/* The agent's socket: one thread serves it as the agent does, others ask. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "tests/unit/client/tree.h"

#include <fcntl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>
#include <unistd.h>

#include "base/clock.h"
#include "base/limits.h"
#include "base/thread.h"
#include "client/watch/control.h"

static bool
answer(void *ctx, const char *ask, struct sbuf *out)
{
	(void)ctx;
	if (strcmp(ask, "large") == 0)
		for (size_t i = 0; i < 100000; i++)
			sbuf_addc(out, '7');
	else if (strcmp(ask, "status") == 0)
		sbuf_add(out, "{\"state\":\"here\"}");
	else
		return false;
	return true;
}

struct serving {
	struct control *control;
	bool stop;
	int64_t ahead_ms; /* the clock that the agent believes in runs ahead */
	pthread_t thread;
};

static void *
serve(void *arg)
{
	struct serving *s = arg;
	struct pollfd fds[CONTROL_POLL_MAX];

	while (!__atomic_load_n(&s->stop, __ATOMIC_RELAXED)) {
		size_t n = control_poll(s->control, fds);

		poll(fds, n, 5);
		control_serve(s->control, fds, n, clock_mono_ms() + __atomic_load_n(&s->ahead_ms, __ATOMIC_RELAXED));
	}
	return NULL;
}

static char *
folder(struct tree *t)
{
	static char path[128];

	snprintf(path, sizeof path, "%s/root", t->top);
	return path;
}

static int
dot_of(struct tree *t)
{
	tree_mkdir(t, ".dray");
	return openat(t->root, ".dray", O_RDONLY | O_DIRECTORY);
}

static void
start(struct serving *s, int dot)
{
	struct err err;

	*s = (struct serving){ 0 };
	assert_int_equal(control_open(dot, answer, NULL, &s->control, &err), ERR_OK);
	assert_int_equal(thread_start("serve", serve, s, &s->thread, &err), ERR_OK);
}

static void
stop(struct serving *s)
{
	__atomic_store_n(&s->stop, true, __ATOMIC_RELAXED);
	pthread_join(s->thread, NULL);
	control_free(s->control);
}

static err_code
ask(struct tree *t, const char *word, struct sbuf *out)
{
	struct err err;

	sbuf_reset(out);
	return control_ask(folder(t), word, out, &err);
}

static void
test_ask(void **state)
{
	struct tree *t = *state;
	AUTO(sbuf_fini) struct sbuf out = SBUF(CONTROL_ANSWER_MAX);
	AUTO(closep) int dot = dot_of(t);
	struct serving s;
	struct stat st;

	assert_int_equal(ask(t, "status", &out), ERR_NOT_FOUND);
	start(&s, dot);
	for (int i = 0; i < 50; i++) {
		assert_int_equal(ask(t, "status", &out), ERR_OK);
		assert_string_equal(sbuf_str(&out), "{\"state\":\"here\"}");
	}
	assert_int_equal(ask(t, "large", &out), ERR_OK);
	assert_int_equal(out.len, 100000);
	assert_int_equal(ask(t, "dance", &out), ERR_OK);
	assert_non_null(strstr(sbuf_str(&out), "error"));
	assert_int_equal(fstatat(dot, "agent.sock", &st, 0), 0);
	assert_int_equal(st.st_mode & 0777, 0600);
	stop(&s);
	assert_int_equal(ask(t, "status", &out), ERR_NOT_FOUND);
	assert_false(tree_exists(t, ".dray/agent.sock"));
}

static void
test_one_agent(void **state)
{
	struct tree *t = *state;
	AUTO(closep) int dot = dot_of(t);
	struct control *first, *second;
	struct err err;

	assert_int_equal(control_open(dot, answer, NULL, &first, &err), ERR_OK);
	assert_int_equal(control_open(dot, answer, NULL, &second, &err), ERR_ROOT_IN_USE);
	assert_true(tree_exists(t, ".dray/agent.sock"));
	control_free(first);
	tree_write(t, ".dray/agent.sock", "left by one that was killed");
	assert_int_equal(control_open(dot, answer, NULL, &second, &err), ERR_OK);
	control_free(second);
}

/* All places are taken by peers that say nothing; when their time is over, there is room again. */
static void
test_silent_peers(void **state)
{
	struct tree *t = *state;
	AUTO(sbuf_fini) struct sbuf out = SBUF(CONTROL_ANSWER_MAX);
	AUTO(closep) int dot = dot_of(t);
	struct serving s;
	char byte[64];
	int lines[CONTROL_CLIENTS_MAX];

	start(&s, dot);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++) {
		struct sockaddr_un at = { .sun_family = AF_UNIX };

		snprintf(at.sun_path, sizeof at.sun_path, "/proc/self/fd/%d/agent.sock", dot);
		lines[i] = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0);
		assert_int_equal(connect(lines[i], (const struct sockaddr *)&at, sizeof at), 0);
		assert_int_equal(send(lines[i], "{\"ask\":\"status\"}\n", 17 + 1, 0), 18);
		assert_true(recv(lines[i], byte, sizeof byte, 0) > 0); /* it has been let in */
	}
	__atomic_store_n(&s.ahead_ms, CONTROL_IDLE_MS + 1000, __ATOMIC_RELAXED);
	assert_int_equal(ask(t, "status", &out), ERR_OK);
	for (size_t i = 0; i < CONTROL_CLIENTS_MAX; i++)
		close(lines[i]);
	stop(&s);
}

#define T(f) cmocka_unit_test_setup_teardown(f, tree_setup, tree_teardown)

int
main(void)
{
	const struct CMUnitTest tests[] = { T(test_ask), T(test_one_agent), T(test_silent_peers) };

	return cmocka_run_group_tests(tests, NULL, NULL);
}
