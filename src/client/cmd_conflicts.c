#include "base/clock.h"
#include "client/session.h"

#define OUTPUT_MAX (256 * MIB)
#define DEVICE_WIDTH 24
#define KEEPS "current, copy, both or merged"

/* ---- what there is --------------------------------------------------------------------------------------------------------- */

struct list {
	struct wire_conflict *v;
	size_t n, open;
};

static err_code
list_add(struct session *s, struct list *l, size_t *cap, const struct wire_conflicts *page, struct err *err)
{
	if (l->n + page->n > *cap) {
		struct wire_conflict *more;

		*cap = MAX(2 * *cap, l->n + page->n);
		more = arena_array(s->arena, *cap, sizeof *more);
		if (!more)
			return err_set(err, ERR_NO_MEM, "too many conflicts");
		if (l->n)
			memcpy(more, l->v, l->n * sizeof *more);
		l->v = more;
	}
	for (size_t i = 0; i < page->n; i++) {
		l->open += page->list[i].how == WIRE_OPEN;
		l->v[l->n++] = page->list[i];
	}
	return ERR_OK;
}

static err_code
list_read(struct session *s, bool all, struct list *out, struct err *err)
{
	struct wire_conflicts page = { .has_more = true };
	struct cursor at;
	size_t cap = 0;
	bool first = true;

	*out = (struct list){ 0 };
	while (page.has_more) {
		err_code rc = remote_conflicts(s->remote, all, first ? NULL : &at, s->arena, &page, err);

		if (rc == ERR_OK)
			rc = list_add(s, out, &cap, &page, err);
		if (rc)
			return rc;
		at = page.next;
		first = false;
	}
	return ERR_OK;
}

static void
list_json(const struct session *s, const struct list *l)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	struct jw jw = JW(&sb);

	jw_object(&jw);
	jw_kid(&jw, "project", &s->link.project);
	jw_ku64(&jw, "open", l->open);
	jw_key(&jw, "conflicts");
	jw_array(&jw);
	for (size_t i = 0; i < l->n; i++)
		wire_conflict_write(&jw, &l->v[i]);
	jw_end_array(&jw);
	jw_end_object(&jw);
	sbuf_addc(&sb, '\n');
	cli_print(&sb);
}

static void
add_side(struct sbuf *sb, const struct wire_side *side)
{
	sbuf_add_visible(sb, side->path);
	sbuf_add(sb, side->deleted ? "  (deleted)\n" : "\n");
}

/* When and who before the file; the copy beneath it. */
static void
add_conflict(struct sbuf *sb, const struct wire_conflict *c, int width)
{
	AUTO(sbuf_fini) struct sbuf name = SBUF(4 * KIB);
	char at[RFC3339_MAX];

	sbuf_add_visible(&name, *c->device_name ? c->device_name : "?");
	rfc3339_us(c->created_at, at);
	sbuf_addf(sb, "%.10s %.8s  %-*.*s  ", at, at + 11, width, DEVICE_WIDTH, sbuf_str(&name));
	add_side(sb, &c->original);
	sbuf_addf(sb, "%19s  %*s  ", c->how == WIRE_OPEN ? "" : wire_how_name(c->how), width, "");
	add_side(sb, &c->copy);
}

static void
list_text(const struct list *l)
{
	struct sbuf sb = SBUF(OUTPUT_MAX);
	int width = 6;

	for (size_t i = 0; i < l->n; i++)
		width = MAX(width, (int)MIN(strlen(l->v[i].device_name), DEVICE_WIDTH));
	for (size_t i = 0; i < l->n; i++)
		add_conflict(&sb, &l->v[i], width);
	if (l->open)
		sbuf_addf(&sb, "%zu open.  Next: dray conflicts resolve PATH --keep current|copy|both|merged\n", l->open);
	else
		sbuf_add(&sb, "No open conflicts.\n");
	cli_print(&sb);
}

static err_code
run_list(const struct command_line *line, bool *open, struct err *err)
{
	AUTO(session_freep) struct session *s = NULL;
	struct list l;
	err_code rc;

	if (command_value(line, 'k'))
		return err_set(err, ERR_USAGE, "--keep goes with dray conflicts resolve PATH");
	rc = session_open(line, line->arg_count ? line->args[0] : NULL, &s, err);
	if (rc == ERR_OK)
		rc = list_read(s, command_has(line, 'A'), &l, err);
	if (rc)
		return rc;
	*open = l.open > 0;
	if (command_has(line, 'j'))
		list_json(s, &l);
	else if (!command_has(line, 'q'))
		list_text(&l);
	return ERR_OK;
}

/* ---- an end to one --------------------------------------------------------------------------------------------------------- */

static err_code
read_keep(const struct command_line *line, enum wire_how *out, struct err *err)
{
	const char *keep = command_value(line, 'k');

	if (!keep)
		return err_set(err, ERR_USAGE, "say what to keep: --keep " KEEPS);
	if (!wire_how_parse(keep, out) || *out == WIRE_COPY_GONE)
		return err_set(err, ERR_USAGE, "--keep takes " KEEPS);
	return ERR_OK;
}

/* By its id, open or not: who asks again is told that it is done. */
static err_code
find_by_id(const struct list *l, const struct id *id, const struct wire_conflict **out)
{
	*out = NULL;
	for (size_t i = 0; i < l->n && !*out; i++)
		if (id_eq(&l->v[i].copy.id, id))
			*out = &l->v[i];
	return *out ? ERR_OK : ERR_NOT_FOUND;
}

/* By its copy, of which there is one; or by the file, when that has no other open one. */
static err_code
find_by_path(const struct list *l, const char *path, const struct wire_conflict **out, struct err *err)
{
	const struct wire_conflict *of = NULL;
	size_t n = 0;

	*out = NULL;
	for (size_t i = 0; i < l->n; i++) {
		const struct wire_conflict *c = &l->v[i];

		if (c->how != WIRE_OPEN)
			continue;
		if (strcmp(c->copy.path, path) == 0) {
			*out = c;
			return ERR_OK;
		}
		if (strcmp(c->original.path, path) == 0) {
			of = c;
			n++;
		}
	}
	if (n > 1)
		return err_set(err, ERR_USAGE, "%s has %zu open conflicts; name one by its copy's path, as dray conflicts lists it", path, n);
	*out = of;
	return of ? ERR_OK : err_set(err, ERR_NOT_FOUND, "%s has no open conflict, nor is it the copy of one; dray conflicts --all lists them", path);
}

static err_code
find(struct session *s, const char *typed, const struct wire_conflict **out, struct err *err)
{
	struct list l;
	struct id id;
	const char *path;
	err_code rc = list_read(s, true, &l, err);

	if (rc)
		return rc;
	if (id_parse(typed, strlen(typed), &id, NULL) == ERR_OK && find_by_id(&l, &id, out) == ERR_OK)
		return ERR_OK;
	rc = session_path(s, typed, &path, err);
	return rc ? rc : find_by_path(&l, path, out, err);
}

static err_code
refused(err_code code, const struct wire_conflict *c, struct err *err)
{
	switch (code) {
	case ERR_VERSION_CONFLICT:
		return err_wrap(err, "%s: look at dray conflicts and decide again", c->original.path);
	case ERR_NOT_EMPTY:
		return err_wrap(err, "a directory of this conflict has something in it; move or delete that first");
	default:
		return err_wrap(err, "resolve the conflict of %s", c->original.path);
	}
}

static const char *
done_text(const struct wire_conflict *c)
{
	switch (c->how) {
	case WIRE_CURRENT:
		return "stays as it is; its copy is deleted";
	case WIRE_COPY:
		return "is what the copy was";
	case WIRE_MERGED:
		return "stays as it was merged; its copy is deleted";
	default:
		return "and its copy are two files from now on";
	}
}

static void
show_resolved(const struct command_line *line, const struct session *s, const struct wire_conflict *c)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);

	if (command_has(line, 'j')) {
		wire_conflict_write(&jw, c);
		sbuf_addc(&sb, '\n');
	} else if (!command_has(line, 'q')) {
		sbuf_add(&sb, "Resolved: ");
		sbuf_add_visible(&sb, c->original.path);
		sbuf_addf(&sb, " %s.\n", done_text(c));
		if (c->how != WIRE_BOTH)
			sbuf_add(&sb, "What gave way stays in the history: dray log, dray restore.\n");
		if (s->root && c->how != WIRE_BOTH) {
			sbuf_add(&sb, "Next: dray sync ");
			sbuf_add_visible(&sb, s->root);
			sbuf_addc(&sb, '\n');
		}
	}
	cli_print(&sb);
}

/* ${typed} may be an id: then it is no path on this disk, and the current directory says which project. */
static err_code
run_resolve(const struct command_line *line, const char *typed, struct err *err)
{
	AUTO(session_freep) struct session *s = NULL;
	const struct wire_conflict *c;
	struct wire_conflict done;
	struct wire_resolve wish;
	struct id id;
	err_code rc = read_keep(line, &wish.keep, err);

	if (rc == ERR_OK)
		rc = session_open(line, id_parse(typed, strlen(typed), &id, NULL) ? typed : NULL, &s, err);
	if (rc == ERR_OK)
		rc = find(s, typed, &c, err);
	if (rc)
		return rc;
	wish.version = c->original.version;
	wish.copy_version = c->copy.version;
	rc = remote_resolve(s->remote, &c->copy.id, &wish, s->arena, &done, err);
	if (rc)
		return refused(rc, c, err);
	show_resolved(line, s, &done);
	return ERR_OK;
}

static int
run(const struct command_line *line)
{
	bool resolve = line->arg_count > 0 && strcmp(line->args[0], "resolve") == 0, open = false;
	struct err err = { 0 };
	err_code rc;

	if (resolve && line->arg_count == 2)
		rc = run_resolve(line, line->args[1], &err);
	else if (resolve || line->arg_count == 2)
		rc = err_set(&err, ERR_USAGE, "dray conflicts [DIR], or dray conflicts resolve PATH --keep " KEEPS);
	else
		rc = run_list(line, &open, &err);
	if (rc)
		return command_fail(line, &err);
	return open ? EXIT_REMAINS : EXIT_IN_SYNC;
}

const struct command COMMAND_CONFLICTS = {
	.name = "conflicts",
	.args = "[DIR] | resolve PATH",
	.summary = "List edits that lost their name to another, or decide about one",
	.options = "uptTkAjq",
	.args_min = 0,
	.args_max = 2,
	.run = run,
	.help = "Lists the project's open conflicts: when, by which device, the file, and beneath it the copy\n"
	        "that holds what lost the name.  A directory called resolve is ./resolve.\n\n"
	        "resolve PATH decides about one, for all devices; PATH is that of the copy, or of the file, or\n"
	        "the id that --json shows.  --keep says what stays:\n"
	        "  current  the file as it is; the copy is deleted\n"
	        "  copy     what the copy holds, under the file's name\n"
	        "  both     two files from now on\n"
	        "  merged   the file, into which you have merged the copy and which is synced;\n"
	        "           the copy is deleted\n"
	        "What is deleted or replaced stays in the history (dray log, dray restore), and dray sync brings\n"
	        "the result here.  Deleting a copy yourself ends its conflict too.\n\n"
	        "Exit status: 0 none is open, or resolved; 3 there are open ones.\n",
};
