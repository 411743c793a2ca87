#include <errno.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include "base/jw.h"
#include "client/cli.h"
#include "client/folder.h"

/* Typed without echo; the terminal is put back whatever happens. */
static err_code
ask_token(char *buf, size_t cap, struct err *err)
{
	struct termios old, silent;
	FILE *tty = fopen("/dev/tty", "r+");
	char *got;

	if (!tty)
		return err_set(err, ERR_USAGE, "no token: give --token, set DRAY_TOKEN, or run dray link on a terminal");
	fputs("Token of this device: ", tty);
	fflush(tty);
	tcgetattr(fileno(tty), &old);
	silent = old;
	silent.c_lflag &= ~(tcflag_t)ECHO;
	tcsetattr(fileno(tty), TCSAFLUSH, &silent);
	got = fgets(buf, (int)cap, tty);
	tcsetattr(fileno(tty), TCSAFLUSH, &old);
	fputs("\n", tty);
	fclose(tty);
	if (!got)
		return err_set(err, ERR_USAGE, "no token was typed");
	buf[strcspn(buf, "\r\n")] = '\0';
	return ERR_OK;
}

static err_code
find_token(const struct command_line *line, char *buf, size_t cap, const char **token, struct err *err)
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

/* "https://host:port", whatever was typed around it. */
static err_code
clean_url(const char *typed, char *out, size_t cap, struct err *err)
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

static err_code
who_am_i(const char *url, const char *token, const struct id *project, struct arena *a, struct remote_self *self, struct err *err)
{
	struct remote_opts opts = { .url = url, .token = token, .project = *project, .cancel = cli_cancel() };
	struct remote *remote;
	err_code rc = remote_open(&opts, &remote, err);

	if (rc)
		return rc;
	rc = remote_self(remote, a, self, err);
	remote_free(remote);
	if (rc == ERR_NOT_FOUND)
		return err_set(err, ERR_NOT_FOUND, "%s has no such project, or this token is not for it", url);
	return rc;
}

static void
show(const struct command_line *line, const char *dir, const struct state_link *link, bool writer)
{
	struct sbuf sb = SBUF(64 * KIB);
	struct jw jw = JW(&sb);

	if (command_has(line, 'j')) {
		jw_object(&jw);
		jw_kstr(&jw, "folder", dir);
		jw_kstr(&jw, "server", link->url);
		jw_kid(&jw, "project", &link->project);
		jw_kstr(&jw, "project_name", link->project_name);
		jw_kid(&jw, "device", &link->device);
		jw_kstr(&jw, "device_name", link->device_name);
		jw_kstr(&jw, "role", writer ? "writer" : "reader");
		jw_end_object(&jw);
		sbuf_addc(&sb, '\n');
	} else if (!command_has(line, 'q')) {
		sbuf_add(&sb, "Linked ");
		sbuf_add_visible(&sb, dir);
		sbuf_add(&sb, " to project \"");
		sbuf_add_visible(&sb, link->project_name);
		sbuf_addf(&sb, "\" on %s as device \"", link->url);
		sbuf_add_visible(&sb, link->device_name);
		sbuf_addf(&sb, "\"%s.\n", writer ? "" : " (reader: nothing is sent from here)");
		sbuf_add(&sb, "Next: dray sync ");
		sbuf_add_visible(&sb, dir);
		sbuf_addc(&sb, '\n');
	}
	cli_print(&sb);
}

static err_code
link_folder(const struct command_line *line, struct err *err)
{
	AUTO(arena_freep) struct arena *a = arena_new(1 * MIB);
	const char *dir = line->arg_count > 1 ? line->args[1] : ".";
	char typed[TOKEN_LEN + 64], url[1024];
	struct state_link link = { .url = url };
	struct remote_self self;
	const char *token;
	err_code rc;

	if (!command_value(line, 'p'))
		return err_set(err, ERR_USAGE, "which project? --project ID; drayd project list on the server shows them");
	rc = id_parse(command_value(line, 'p'), strlen(command_value(line, 'p')), &link.project, err);
	if (rc)
		return err_set(err, ERR_USAGE, "--project takes an id of 32 hexadecimal digits, as drayd project create prints it");
	rc = clean_url(line->args[0], url, sizeof url, err);
	if (rc == ERR_OK)
		rc = find_token(line, typed, sizeof typed, &token, err);
	if (rc)
		return rc;
	rc = who_am_i(url, token, &link.project, a, &self, err);
	if (rc)
		return rc;
	link.device = self.device;
	link.device_name = self.device_name;
	link.project_name = self.project_name;
	if (mkdir(dir, 0777) < 0 && errno != EEXIST)
		return err_errno(err, "%s", dir);
	rc = folder_create(dir, &link, token, err);
	if (rc == ERR_OK)
		show(line, dir, &link, self.writer);
	return rc;
}

static int
run(const struct command_line *line)
{
	struct err err = { 0 };

	return link_folder(line, &err) ? command_fail(line, &err) : EXIT_IN_SYNC;
}

const struct command COMMAND_LINK = {
	.name = "link",
	.args = "URL [DIR]",
	.summary = "Connect a folder (default: this one) with a project on a server",
	.options = "ptjq",
	.args_min = 1,
	.args_max = 2,
	.run = run,
	.help = "Nothing is sent or fetched yet; dray sync does that.  When both sides have files, the\n"
	        "first sync unites them.  The link lives in DIR/.dray, which is never synced.\n\n"
	        "Example:\n"
	        "  DRAY_TOKEN=dray_... dray link http://127.0.0.1:8080 --project 0190... ~/film\n",
};
