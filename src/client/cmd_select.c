/*
 * Which part of a project a device keeps.  The choice is a file (selection.h) that the next pass follows, so it can be made while one runs; here the
 * state is only read, beside whoever works on it.
 */
#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/num.h"
#include "base/pathat.h"
#include "client/cli.h"
#include "client/ignore/ignore.h"
#include "client/plan_show.h"
#include "client/selection.h"
#include "client/session.h"
#include "client/watch/control.h"

#define MEMORY_MAX (64 * MIB)
#define OUTPUT_MAX (16 * MIB)
#define CHOICES "AOdm"

struct sum {
	uint64_t entries, bytes;
};

struct select {
	const char *path;       /* of the linked folder */
	int root;
	struct arena *arena;
	const char **typed;     /* paths in the project */
	struct selection *sel;
	struct state *state;
	struct sum *of_word;    /* what each word leaves out, by its place in selection_words */
	struct sum out;         /* of the server's, what is not here as it is not selected */
	struct sum here;        /* what is not selected and still here, as agreed on */
	bool told;              /* an agent has been told */
};

/* ---- what is chosen ------------------------------------------------------------------------------------------------------------- */

struct search {
	const char *path;
	bool found;
};

static err_code
is_it(void *ctx, const struct entry *e, struct err *err)
{
	struct search *s = ctx;

	(void)err;
	s->found |= strcmp(e->path, s->path) == 0;
	return ERR_OK;
}

static err_code
is_it_pending(void *ctx, const struct entry *e, bool deleted, const uint8_t *extra, size_t extra_len, struct err *err)
{
	(void)extra;
	(void)extra_len;
	return deleted ? ERR_OK : is_it(ctx, e, err);
}

static bool
has_word(const struct selection *sel, const char *path)
{
	const struct selection_word *word = selection_word_of(sel, path);

	return word && strcmp(word->path, path) == 0;
}

/* A name that nobody knows is most likely a slip, and after a slip in --only everything would go. */
static err_code
is_known(const struct select *s, const char *path, struct err *err)
{
	struct search search = { .path = path };
	struct state_place place;
	struct entry base;
	struct stat st;
	struct entry_sum left;
	err_code rc = state_place_get(s->state, &place, err);

	if (rc || !place.known || *path == '\0' || has_word(s->sel, path))
		return rc;
	rc = state_base_get(s->state, path, s->arena, &base, err);
	if (rc != ERR_NOT_FOUND || pathat_stat(s->root, path, &st, err) == ERR_OK)
		return rc == ERR_NOT_FOUND ? ERR_OK : rc;
	rc = state_left_out_each(s->state, is_it, &search, err);
	if (rc == ERR_OK && !search.found)
		rc = state_pending_each(s->state, UINT64_MAX, &left, is_it_pending, &search, err);
	if (rc == ERR_OK && !search.found)
		return err_set(err, ERR_NOT_FOUND, "there is no %s in the project, as far as this device has heard; dray sync asks the server", path);
	return rc;
}

static err_code
choose(struct select *s, const struct command_line *line, struct err *err)
{
	bool keep = !command_has(line, 'm');

	for (int i = 0; i < line->arg_count; i++) {
		err_code rc;

		if (ignore_is_file(s->typed[i]))
			return err_set(err, ERR_USAGE, "%s goes with its directory", s->typed[i]);
		rc = is_known(s, s->typed[i], err);
		if (rc)
			return rc;
	}
	if (command_has(line, 'O'))
		selection_set(s->sel, "", false);
	for (int i = 0; i < line->arg_count; i++)
		selection_set(s->sel, s->typed[i], keep);
	return selection_save(s->root, s->sel, err);
}

/* An agent that does not know the word, or is not there, sees the choice with its next pass. */
static void
tell_agent(struct select *s)
{
	AUTO(sbuf_fini) struct sbuf answer = SBUF(CONTROL_ANSWER_MAX);
	struct err ignored;

	s->told = control_ask(s->path, "anew", &answer, &ignored) == ERR_OK;
}

/* ---- what that leaves out ------------------------------------------------------------------------------------------------------- */

static void
add(struct sum *sum, const struct entry *e)
{
	sum->entries++;
	sum->bytes += e->kind == ENTRY_FILE ? (uint64_t)e->size : 0;
}

static bool
count(struct select *s, const struct entry *e)
{
	const struct selection_word *word = selection_word_of(s->sel, e->path);
	size_t n;

	if (selection_keeps(s->sel, e->path) || !word)
		return false;
	add(&s->of_word[word - selection_words(s->sel, &n)], e);
	return true;
}

static err_code
count_left_out(void *ctx, const struct entry *e, struct err *err)
{
	struct select *s = ctx;

	(void)err;
	if (count(s, e))
		add(&s->out, e);
	return ERR_OK;
}

static err_code
count_all(struct select *s, struct err *err)
{
	AUTO(state_walk_freep) struct state_walk *walk = NULL;
	const struct entry *e;
	size_t n;
	err_code rc;

	(void)selection_words(s->sel, &n);
	s->of_word = arena_must(s->arena, (n + 1) * sizeof *s->of_word);
	memset(s->of_word, 0, (n + 1) * sizeof *s->of_word);
	if (n == 0)
		return ERR_OK;
	rc = state_left_out_each(s->state, count_left_out, s, err);
	if (rc == ERR_OK)
		rc = state_base_walk(s->state, &walk, err);
	while (rc == ERR_OK && (rc = state_walk_next(walk, &e, err)) == ERR_OK && e)
		if (count(s, e))
			add(&s->here, e);
	return rc;
}

/* ---- telling ------------------------------------------------------------------------------------------------------------------ */

static void
sum_json(struct jw *jw, const char *key, const struct sum *sum)
{
	jw_key(jw, key);
	jw_object(jw);
	jw_ku64(jw, "entries", sum->entries);
	jw_ku64(jw, "bytes", sum->bytes);
	jw_end_object(jw);
}

static void
show_json(const struct select *s)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);
	size_t n;
	const struct selection_word *words = selection_words(s->sel, &n);

	jw_object(&jw);
	jw_kstr(&jw, "folder", s->path);
	jw_kbool(&jw, "all", n == 0);
	jw_key(&jw, "paths");
	jw_array(&jw);
	for (size_t i = 0; i < n; i++) {
		jw_object(&jw);
		jw_path(&jw, "path", words[i].path);
		jw_kbool(&jw, "selected", words[i].kept);
		if (!words[i].kept) {
			jw_ku64(&jw, "entries", s->of_word[i].entries);
			jw_ku64(&jw, "bytes", s->of_word[i].bytes);
		}
		jw_end_object(&jw);
	}
	jw_end_array(&jw);
	sum_json(&jw, "left_out", &s->out);
	sum_json(&jw, "still_here", &s->here);
	jw_kbool(&jw, "agent", s->told);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

static void
add_sum(struct sbuf *sb, const struct sum *sum)
{
	char size[SIZE_HUMAN_MAX];

	sbuf_addf(sb, "%" PRIu64 " %s, %s", sum->entries, sum->entries == 1 ? "entry" : "entries", size_human(sum->bytes, size));
}

static void
show_words(struct sbuf *sb, const struct select *s)
{
	size_t n;
	const struct selection_word *words = selection_words(s->sel, &n);

	if (n == 0)
		sbuf_add(sb, "All of the project is selected.\n");
	for (size_t i = 0; i < n; i++) {
		sbuf_addf(sb, "%-9s ", words[i].kept ? "here" : "not here");
		sbuf_add_visible(sb, *words[i].path ? words[i].path : ".");
		if (!words[i].kept) {
			sbuf_add(sb, "  (");
			add_sum(sb, &s->of_word[i]);
			sbuf_addc(sb, ')');
		}
		sbuf_addc(sb, '\n');
	}
}

static void
show_text(const struct select *s, bool changed)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);

	show_words(&sb, s);
	if (s->here.entries) {
		add_sum(&sb, &s->here);
		sbuf_addf(&sb, " of that %s still here; a sync moves what is as on the server to .dray/trash.\n", s->here.entries == 1 ? "is" : "are");
	}
	if (changed && s->told)
		sbuf_add(&sb, "The folder's dray watch has been told.\n");
	else if (changed)
		sbuf_add(&sb, "Next: dray sync\n");
	cli_print(&sb);
}

/* ---- the command -------------------------------------------------------------------------------------------------------------- */

static err_code
check_usage(const struct command_line *line, struct err *err)
{
	unsigned choices = 0;

	for (const char *c = CHOICES; *c; c++)
		choices += command_has(line, *c);
	if (choices > 1)
		return err_set(err, ERR_USAGE, "one of --add, --remove, --only and --all at a time");
	if (choices == 1 && !command_has(line, 'A') && line->arg_count == 0)
		return err_set(err, ERR_USAGE, "which PATH?");
	if ((choices == 0 || command_has(line, 'A')) && line->arg_count > 1)
		return err_set(err, ERR_USAGE, "more than one folder; to choose paths give --add, --remove or --only");
	return ERR_OK;
}

static err_code
find_folder(struct select *s, const struct command_line *line, struct err *err)
{
	AUTO(freep) char *path = NULL;
	err_code rc = ERR_OK;

	s->typed = arena_must(s->arena, ((size_t)line->arg_count + 1) * sizeof *s->typed);
	if (command_has(line, 'd') || command_has(line, 'm') || command_has(line, 'O')) {
		for (int i = 0; rc == ERR_OK && i < line->arg_count; i++) {
			const char *before = s->path;

			rc = linked_path(line->args[i], s->arena, &s->path, &s->typed[i], err);
			if (rc == ERR_OK && before && strcmp(before, s->path) != 0)
				rc = err_set(err, ERR_USAGE, "%s is not in %s", line->args[i], before);
		}
		return rc;
	}
	rc = folder_find(line->arg_count ? line->args[0] : NULL, &path, err);
	if (rc == ERR_OK)
		s->path = arena_strdup(s->arena, path);
	return rc;
}

static err_code
open_folder(struct select *s, const struct command_line *line, struct err *err)
{
	struct sbuf dot = SBUF(64 * KIB);
	err_code rc;

	s->root = open(s->path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	if (s->root < 0)
		return err_errno(err, "%s", s->path);
	sbuf_addf(&dot, "%s/.dray", s->path);
	rc = state_open_read(sbuf_str(&dot), &s->state, err);
	sbuf_fini(&dot);
	if (rc)
		return err_wrap(err, "%s", s->path);
	rc = selection_load(s->root, &s->sel, err);
	if (rc == ERR_STATE_DAMAGED && (command_has(line, 'A') || command_has(line, 'O'))) {
		s->sel = selection_new(); /* it is about to be said anew */
		rc = ERR_OK;
	}
	return rc;
}

static err_code
select_run(struct select *s, const struct command_line *line, struct err *err)
{
	bool changes = false;
	err_code rc = check_usage(line, err);

	for (const char *c = CHOICES; *c; c++)
		changes |= command_has(line, *c);
	if (rc == ERR_OK)
		rc = find_folder(s, line, err);
	if (rc == ERR_OK)
		rc = open_folder(s, line, err);
	if (rc == ERR_OK && changes) {
		if (command_has(line, 'A'))
			selection_set(s->sel, "", true);
		rc = command_has(line, 'A') ? selection_save(s->root, s->sel, err) : choose(s, line, err);
		if (rc == ERR_OK)
			tell_agent(s);
	}
	if (rc == ERR_OK)
		rc = count_all(s, err);
	if (rc)
		return rc;
	if (command_has(line, 'j'))
		show_json(s);
	else if (!command_has(line, 'q'))
		show_text(s, changes);
	return ERR_OK;
}

static err_code
select_paths(const struct command_line *line, struct err *err)
{
	struct select s = { .root = -1, .arena = arena_new(MEMORY_MAX) };
	err_code rc = select_run(&s, line, err);

	state_free(s.state);
	selection_free(s.sel);
	closep(&s.root);
	arena_free(s.arena);
	return rc;
}

static int
run(const struct command_line *line)
{
	return cli_run(line, select_paths);
}

const struct command COMMAND_SELECT = {
	.name = "select",
	.args = "[DIR | PATH...]",
	.summary = "Choose which part of a project this device keeps",
	.options = CHOICES "jq",
	.args_min = 0,
	.args_max = SELECTION_PATHS_MAX,
	.run = run,
	.help = "Without an option it lists what is chosen, and how much that leaves out.  PATH is a directory or\n"
	        "a file as on this disk, in a linked folder; it need not be here.  The deepest PATH that says\n"
	        "something about a name decides.  The choice is this device's own, and it can be made before the\n"
	        "first sync, and while one runs.\n\n"
	        "What is not selected stays on the server.  The next sync moves it here to .dray/trash where it is\n"
	        "as on the server; what was edited here and not sent, and what is only here, stays and is listed\n"
	        "as unsynced (not_selected).  Selecting it again brings it back.\n\n"
	        "Example:\n"
	        "  dray select --remove ~/film/renders && dray select --add ~/film/renders/final\n"
	        "  dray sync ~/film\n",
};
