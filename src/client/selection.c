#include "client/selection.h"

#include "base/arena.h"
#include "base/map.h"
#include "base/path.h"
#include "client/dot_file.h"
#include "client/ignore/ignore.h"
#include "client/model/entry.h"

#define NAME "selection"
#define MEMORY_MAX (64 * MIB) /* what is read, and as many paths as may be typed, all of the longest */

struct selection {
	struct arena *arena;          /* owns the paths */
	struct selection_word *words; /* sorted by path */
	size_t n, cap;
	struct map *by_path;          /* path -> its word */
	struct map *ways;             /* directories above what is kept */
};

struct selection *
selection_new(void)
{
	struct selection *s = xcalloc(1, sizeof *s);

	s->arena = arena_new(MEMORY_MAX);
	s->by_path = map_new();
	s->ways = map_new();
	return s;
}

void
selection_free(struct selection *s)
{
	if (!s)
		return;
	free(s->words);
	map_free(s->by_path);
	map_free(s->ways);
	arena_free(s->arena);
	free(s);
}

void
selection_freep(struct selection **s)
{
	selection_free(*s);
}

/* ---- answers ------------------------------------------------------------------------------------------------------------------ */

/* The length of the directory that the first ${len} bytes of ${path} lie in. */
static size_t
above(const char *path, size_t len)
{
	while (len > 0 && path[len - 1] != '/')
		len--;
	return len - (len > 0);
}

/* The deepest word about the name. */
static const struct selection_word *
word_of(const struct selection *s, const char *path, size_t len)
{
	for (;;) {
		const struct selection_word *word = map_get(s->by_path, path, len);

		if (word || len == 0)
			return word;
		len = above(path, len);
	}
}

const struct selection_word *
selection_word_of(const struct selection *s, const char *path)
{
	return word_of(s, path, strlen(path));
}

bool
selection_keeps(const struct selection *s, const char *path)
{
	size_t len = strlen(path);
	const struct selection_word *word;

	if (s->n == 0)
		return true;
	if (ignore_is_file(path))
		path_split(path, &len);
	if (len == 0 || map_get(s->ways, path, len))
		return true;
	word = word_of(s, path, len);
	return !word || word->kept;
}

bool
selection_all(const struct selection *s)
{
	return s->n == 0;
}

const struct selection_word *
selection_words(const struct selection *s, size_t *n)
{
	*n = s->n;
	return s->words;
}

/* ---- changes ------------------------------------------------------------------------------------------------------------------ */

static int
by_path(const void *a, const void *b)
{
	return strcmp(((const struct selection_word *)a)->path, ((const struct selection_word *)b)->path);
}

static void
index_words(struct selection *s)
{
	map_free(s->by_path);
	map_free(s->ways);
	s->by_path = map_new();
	s->ways = map_new();
	if (s->n > 1)
		qsort(s->words, s->n, sizeof *s->words, by_path);
	for (size_t i = 0; i < s->n; i++) {
		const struct selection_word *w = &s->words[i];

		map_put(s->by_path, w->path, strlen(w->path), &s->words[i]);
		for (size_t len = above(w->path, strlen(w->path)); w->kept && len > 0; len = above(w->path, len))
			map_put(s->ways, w->path, len, s);
	}
}

static void
add_word(struct selection *s, const char *path, size_t len, bool kept)
{
	if (s->n == s->cap) {
		s->cap = s->cap ? 2 * s->cap : 16;
		s->words = xrealloc(s->words, s->cap * sizeof *s->words);
	}
	s->words[s->n++] = (struct selection_word){ .path = arena_strndup(s->arena, path, len), .kept = kept };
}

/* The words about ${path} and what lies beneath it. */
static void
forget_beneath(struct selection *s, const char *path)
{
	size_t kept = 0;

	for (size_t i = 0; i < s->n; i++) {
		const char *p = s->words[i].path;

		if (*path && strcmp(p, path) != 0 && !path_beneath(p, path))
			s->words[kept++] = s->words[i];
	}
	s->n = kept;
}

void
selection_set(struct selection *s, const char *path, bool kept)
{
	const struct selection_word *word;

	forget_beneath(s, path);
	index_words(s);
	word = selection_word_of(s, path);
	if ((word ? word->kept : true) != kept)
		add_word(s, path, strlen(path), kept);
	index_words(s);
}

/* ---- the file: '+' or '-', a path and a NUL for each word ---------------------------------------------------------------------- */

static bool
parse(struct selection *s, const char *p, size_t len)
{
	while (len > 0) {
		const char *end = memchr(p, '\0', len);
		size_t path_len = end ? (size_t)(end - p) - (end > p) : 0;
		struct err ignored;

		if (!end || end == p || (*p != '+' && *p != '-') || s->n == SELECTION_PATHS_MAX)
			return false;
		if (path_len > 0 && path_ok(p + 1, path_len, &ignored))
			return false;
		add_word(s, p + 1, path_len, *p == '+');
		len -= (size_t)(end - p) + 1;
		p = end + 1;
	}
	index_words(s);
	return true;
}

err_code
selection_load(int root, struct selection **out, struct err *err)
{
	AUTO(selection_freep) struct selection *s = selection_new();
	AUTO(sbuf_fini) struct sbuf text = SBUF(SELECTION_FILE_MAX);
	err_code rc = dot_file_read(root, NAME, &text, err);

	*out = NULL;
	if (rc == ERR_OK && !parse(s, sbuf_str(&text), text.len))
		rc = err_set(err, ERR_STATE_DAMAGED, ".dray/" NAME " is not one");
	if (rc == ERR_STATE_DAMAGED)
		return err_set(err, rc, "what is kept on this device is not known, since .dray/" NAME " is damaged; say it again: dray select --all, or --only PATH");
	if (rc && rc != ERR_NOT_FOUND)
		return rc;
	*out = TAKE(s);
	return ERR_OK;
}

err_code
selection_save(int root, const struct selection *s, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf text = SBUF(SELECTION_FILE_MAX);
	struct err ignored;

	if (s->n > SELECTION_PATHS_MAX)
		return err_set(err, ERR_USAGE, "more than %d paths are too many; choose directories above them", SELECTION_PATHS_MAX);
	for (size_t i = 0; i < s->n; i++) {
		sbuf_addc(&text, s->words[i].kept ? '+' : '-');
		sbuf_addn(&text, s->words[i].path, strlen(s->words[i].path) + 1);
	}
	if (sbuf_done(&text, &ignored))
		return err_set(err, ERR_USAGE, "the paths are too long together; choose directories above them");
	return dot_file_write(root, NAME, sbuf_str(&text), text.len, err);
}
