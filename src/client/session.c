#include <errno.h>
#include <limits.h>
#include <signal.h>
#include <termios.h>
#include <unistd.h>

#include "base/sbuf.h"
#include "client/session.h"

#define SESSION_MEMORY (64 * MIB)
#define TEXT_MAX (64 * KIB)

/* ---- what is typed --------------------------------------------------------------------------------------------------------------- */

/* Interrupting must end the reading, so for once system calls are not taken up again. */
static char *
read_line(FILE *tty, char *buf, size_t cap)
{
	struct sigaction once = { .sa_flags = 0 }, old_int, old_term;
	char *got;

	sigaction(SIGINT, NULL, &old_int);
	sigaction(SIGTERM, NULL, &old_term);
	once.sa_handler = old_int.sa_handler;
	sigaction(SIGINT, &once, NULL);
	sigaction(SIGTERM, &once, NULL);
	got = *cli_cancel() ? NULL : fgets(buf, (int)cap, tty);
	if (!*cli_cancel()) { /* else the second one is to kill */
		sigaction(SIGINT, &old_int, NULL);
		sigaction(SIGTERM, &old_term, NULL);
	}
	return got;
}

/* Typed without echo; the terminal is put back whatever happens. */
static err_code
ask_token(char *buf, size_t cap, struct err *err)
{
	struct termios old, silent;
	FILE *tty = fopen("/dev/tty", "r+");
	char *got;

	if (!tty)
		return err_set(err, ERR_USAGE, "no token: give --token, set DRAY_TOKEN, or run it on a terminal");
	fputs("Token of this device: ", tty);
	fflush(tty);
	tcgetattr(fileno(tty), &old);
	silent = old;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fileno(tty), TCSAFLUSH, &silent);
	got = read_line(tty, buf, cap);
	tcsetattr(fileno(tty), TCSAFLUSH, &old);
	fputs("\n", tty);
	fclose(tty);
	if (*cli_cancel())
		return err_set(err, ERR_CANCELLED, "stopped on request");
	if (!got)
		return err_set(err, ERR_USAGE, "no token was typed");
	buf[strcspn(buf, "\r\n")] = '\0';
	return ERR_OK;
}

err_code
token_find(const struct command_line *line, char *buf, size_t cap, const char **token, struct err *err)
{
	const char *env = getenv("DRAY_TOKEN");
	err_code rc = ERR_OK;

	*token = command_value(line, 't') ? command_value(line, 't') : env && *env ? env : buf;
	if (*token == buf)
		rc = ask_token(buf, cap, err);
	if (rc == ERR_OK && !token_check(*token, strlen(*token)))
		return err_set(err, ERR_USAGE, "that is not a token of drayd: they start with dray_ and end in a checksum; was it cut off?");
	return rc;
}

err_code
url_clean(const char *typed, char *out, size_t cap, struct err *err)
{
	const char *scheme = strstr(typed, "://") ? "" : "http://";
	size_t len;

	if (snprintf(out, cap, "%s%s", scheme, typed) >= (int)cap)
		return err_set(err, ERR_USAGE, "the address is too long");
	len = strlen(out);
	while (len > 0 && out[len - 1] == '/')
		out[--len] = '\0';
	if (strncmp(out, "http://", 7) != 0 && strncmp(out, "https://", 8) != 0)
		return err_set(err, ERR_USAGE, "the address must start with https:// or http://");
	return ERR_OK;
}

err_code
project_parse(const char *typed, struct id *out, struct err *err)
{
	if (!typed)
		return err_set(err, ERR_USAGE, "which project? --project ID; drayd project list on the server shows them");
	if (id_parse(typed, strlen(typed), out, err))
		return err_set(err, ERR_USAGE, "--project takes an id of 32 hexadecimal digits, as drayd project create prints it");
	return ERR_OK;
}

/* ---- paths ----------------------------------------------------------------------------------------------------------------------- */

const char *
path_name(const char *path)
{
	const char *slash = strrchr(path, '/');

	return slash ? slash + 1 : path;
}

/*
 * ${path} beneath ${base} (absolute, or "" for the top of a project), with "." and ".." taken away as text: what is meant may not exist.
 * NULL when it leads above the top of a project.
 */
static char *
path_under(const char *base, const char *path, bool project)
{
	struct sbuf sb = SBUF(TEXT_MAX);
	const char *p = path;

	if (*path != '/')
		sbuf_add(&sb, strcmp(base, "/") == 0 ? "" : base);
	while (*p) {
		size_t len;
		char *slash;

		p += strspn(p, "/");
		len = strcspn(p, "/");
		if (len == 2 && memcmp(p, "..", 2) == 0) {
			if (sb.len == 0 && project) {
				sbuf_fini(&sb);
				return NULL;
			}
			slash = sb.s ? strrchr(sb.s, '/') : NULL;
			sb.len = slash ? (size_t)(slash - sb.s) : 0;
			if (sb.s)
				sb.s[sb.len] = '\0';
		} else if (len > 0 && !(len == 1 && *p == '.')) {
			if (!project || sb.len > 0)
				sbuf_addc(&sb, '/');
			sbuf_addn(&sb, p, len);
		}
		p += len;
	}
	return sbuf_take(&sb);
}

/* As on this disk: absolute, and its symlinks resolved as far as it exists, since that is how a linked folder is called. */
static char *
real_path(const char *typed)
{
	AUTO(freep) char *cwd = getcwd(NULL, 0);
	char *whole = path_under(cwd ? cwd : "", typed, false);
	size_t cut = strlen(whole);

	while (cut > 0) {
		AUTO(freep) char *there = NULL;
		AUTO(freep) char *head = xstrdup(whole);
		struct sbuf sb = SBUF(TEXT_MAX);

		head[cut] = '\0';
		there = realpath(head, NULL);
		if (there) {
			sbuf_addf(&sb, "%s%s", strcmp(there, "/") == 0 ? "" : there, whole + cut);
			free(whole);
			return sbuf_take(&sb);
		}
		while (cut > 0 && whole[--cut] != '/')
			;
	}
	return whole;
}

/* The linked folder that ${path} is or lies in; the path need not exist. */
static err_code
find_root(const char *path, char **out, struct err *err)
{
	AUTO(freep) char *at = real_path(path);
	struct err ignored;

	for (;;) {
		char *slash;

		if (folder_find(*at ? at : "/", out, &ignored) == ERR_OK)
			return ERR_OK;
		slash = strrchr(at, '/');
		if (!slash || *at == '\0')
			return err_set(err, ERR_NOT_LINKED, "%s is not in a linked folder; go to one, or give --url and --project",
			    strcmp(path, ".") == 0 ? "this" : path);
		*slash = '\0';
	}
}

/* What follows ${root} in ${path}, lent; NULL when that is elsewhere. */
static const char *
path_in(const char *root, const char *path)
{
	size_t len = strlen(root);

	if (strncmp(path, root, len) != 0 || (path[len] != '/' && path[len] != '\0'))
		return NULL;
	return path + len + (path[len] == '/');
}

err_code
linked_path(const char *typed, struct arena *a, const char **root, const char **out, struct err *err)
{
	AUTO(freep) char *path = real_path(typed);
	AUTO(freep) char *top = NULL;
	err_code rc = find_root(typed, &top, err);

	if (rc)
		return rc;
	*root = arena_strdup(a, top);
	*out = arena_strdup(a, path_in(top, path));
	if (!**out)
		return ERR_OK;
	rc = path_ok(*out, strlen(*out), err);
	return rc ? err_wrap(err, "%s", typed) : ERR_OK;
}

err_code
session_path(struct session *s, const char *typed, const char **out, struct err *err)
{
	AUTO(freep) char *path = NULL;
	const char *in = NULL;
	err_code rc;

	if (s->root) {
		path = real_path(typed);
		in = path_in(s->root, path);
	} else {
		in = path = path_under("", typed, true);
	}
	if (!in)
		return err_set(err, ERR_USAGE, "%s is not in %s", typed, s->root ? s->root : "the project");
	*out = arena_strdup(s->arena, in);
	if (!**out)
		return ERR_OK;
	rc = path_ok(*out, strlen(*out), err);
	return rc ? err_wrap(err, "%s", typed) : ERR_OK;
}

/* ---- opening --------------------------------------------------------------------------------------------------------------------- */

static err_code
open_typed(struct session *s, const struct command_line *line, const char **token, struct err *err)
{
	char url[1024], typed[TOKEN_LEN + 64];
	err_code rc = project_parse(command_value(line, 'p'), &s->link.project, err);

	if (!rc && !command_value(line, 'u'))
		rc = err_set(err, ERR_USAGE, "which server? --url URL");
	if (!rc)
		rc = url_clean(command_value(line, 'u'), url, sizeof url, err);
	if (!rc)
		rc = token_find(line, typed, sizeof typed, token, err);
	if (rc)
		return rc;
	s->link.url = arena_strdup(s->arena, url);
	*token = arena_strdup(s->arena, *token);
	return ERR_OK;
}

static err_code
open_linked(struct session *s, const char *near, const char **token, struct err *err)
{
	AUTO(freep) char *cwd = real_path(".");
	size_t len;
	err_code rc = find_root(near ? near : ".", &s->root, err);

	if (rc)
		return rc;
	len = strlen(s->root);
	if (strncmp(cwd, s->root, len) == 0 && cwd[len] == '/')
		s->here = arena_strdup(s->arena, cwd + len + 1);
	return folder_peek(s->root, s->arena, &s->link, token, err);
}

err_code
session_open(const struct command_line *line, const char *near, struct session **out, struct err *err)
{
	AUTO(session_freep) struct session *s = xcalloc(1, sizeof *s);
	bool typed = command_value(line, 'u') || command_value(line, 'p');
	struct remote_opts opts = { .cancel = cli_cancel() };
	err_code rc;

	s->arena = arena_new(SESSION_MEMORY);
	s->here = "";
	rc = typed ? open_typed(s, line, &opts.token, err) : open_linked(s, near, &opts.token, err);
	if (!rc)
		rc = cli_timeout(line, &opts.retry_ms, err);
	if (!rc)
		rc = cli_rate(line, &opts.rate, err);
	if (rc)
		return rc;
	opts.url = s->link.url;
	opts.project = s->link.project;
	rc = remote_open(&opts, &s->remote, err);
	if (rc)
		return rc;
	*out = TAKE(s);
	return ERR_OK;
}

void
session_free(struct session *s)
{
	if (!s)
		return;
	remote_free(s->remote);
	arena_free(s->arena);
	free(s->root);
	free(s);
}

void
session_freep(struct session **s)
{
	session_free(*s);
}

err_code
session_live(struct session *s, const char *path, struct arena *a, struct wire_file *out, struct err *err)
{
	struct wire_file *files;
	size_t n;
	err_code rc = remote_at(s->remote, path, a, &files, &n, err);

	if (rc == ERR_OK && files[0].deleted)
		return err_set(err, ERR_NOT_FOUND, "%s was deleted; dray restore brings it back", path);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "there is no %s in the project", path);
	if (rc == ERR_OK)
		*out = files[0];
	return rc;
}
