/* A commit's body: what is understood, written and read again is the same. */
#include <assert.h>

#include "fuzz.h"
#include "wire/wire.h"

static void
write_all(struct sbuf *sb, const struct wire_commit *c)
{
	struct jw jw = JW(sb);

	wire_commit_write(&jw, c);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	AUTO(arena_freep) struct arena *a = arena_new(64 * MIB);
	AUTO(sbuf_fini) struct sbuf first = SBUF(16 * MIB);
	AUTO(sbuf_fini) struct sbuf second = SBUF(16 * MIB);
	struct wire_commit c;
	struct wire_commit_answer answer;
	struct wire_page page;
	struct err err;

	/* What a server answers is judged by the same readers: they must stand anything too. */
	(void)!wire_commit_answer_read(data, len, a, &answer, &err);
	(void)!wire_missing_read(data, len, a, &answer, &err);
	(void)!wire_changes_read(data, len, a, &page, &err);
	(void)!wire_list_read(data, len, a, &page, &err);
	(void)!problem_read(409, data, len, &err);
	if (wire_commit_read(data, len, a, &c, &err)) {
		assert(err.code != ERR_OK && err.msg[0]);
		return 0;
	}
	assert(c.n >= 1 && c.n <= COMMIT_OPS_MAX);
	write_all(&first, &c);
	assert(wire_commit_read((const uint8_t *)sbuf_str(&first), first.len, a, &c, &err) == ERR_OK);
	write_all(&second, &c);
	assert(first.len == second.len && memcmp(first.s, second.s, first.len) == 0);
	return 0;
}
