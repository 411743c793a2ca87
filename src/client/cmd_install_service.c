/*
 * A systemd user unit that runs dray watch on folders.
 */
#include <errno.h>
#include <limits.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/limits.h"
#include "base/pathat.h"
#include "client/cli.h"
#include "client/folder.h"

#define UNIT "dray.service"
#define UNIT_MAX (WATCH_FOLDERS_MAX * 2 * PATH_MAX + 4 * KIB)

/*
 * What a user manager can do without privileges: no new rights, no odd sockets, no memory that is written and run.  Mount namespaces
 * need user namespaces, which not every system grants, so the disk is not fenced off.
 */
static const char SANDBOX[] =
    "NoNewPrivileges=yes\n"
    "LockPersonality=yes\n"
    "MemoryDenyWriteExecute=yes\n"
    "RestrictRealtime=yes\n"
    "RestrictSUIDSGID=yes\n"
    "RestrictAddressFamilies=AF_UNIX AF_INET AF_INET6 AF_NETLINK\n"
    "SystemCallArchitectures=native\n";

/* A word of ExecStart: quoted, and with nothing left in it that systemd would expand. */
static void
add_word(struct sbuf *sb, const char *word)
{
	sbuf_add(sb, " \"");
	for (const char *c = word; *c; c++) {
		if (*c == '"' || *c == '\\')
			sbuf_addc(sb, '\\');
		if (*c == '%' || *c == '$')
			sbuf_addc(sb, *c);
		if (*c == '\n')
			sbuf_add(sb, "\\n");
		else
			sbuf_addc(sb, *c);
	}
	sbuf_addc(sb, '"');
}

static err_code
add_folders(const struct command_line *line, struct sbuf *sb, struct err *err)
{
	for (int i = 0; i < MAX(line->arg_count, 1); i++) {
		AUTO(freep) char *path = NULL;
		err_code rc = folder_find(line->arg_count ? line->args[i] : NULL, &path, err);
		if (rc)
			return rc;
		add_word(sb, path);
	}
	return ERR_OK;
}

static err_code
make_unit(const struct command_line *line, struct sbuf *sb, struct err *err)
{
	char self[PATH_MAX];
	ssize_t n = readlink("/proc/self/exe", self, sizeof self - 1);
	err_code rc;

	if (n < 0)
		return err_errno(err, "where dray is");
	self[n] = '\0';
	sbuf_add(sb, "[Unit]\nDescription=dray keeps folders and projects the same\nDocumentation=man:dray(1)\n\n"
	             "[Service]\nType=exec\nExecStart=");
	add_word(sb, self);
	sbuf_add(sb, " watch");
	rc = add_folders(line, sb, err);
	if (rc)
		return rc;
	sbuf_addf(sb, "\nRestart=on-failure\nRestartSec=5\n%s\n[Install]\nWantedBy=default.target\n", SANDBOX);
	return sbuf_done(sb, err);
}

/* Where the user's units lie: made when missing. */
static err_code
open_units(struct sbuf *path, int *fd, struct err *err)
{
	const char *config = getenv("XDG_CONFIG_HOME"), *home = getenv("HOME");

	*fd = -1;
	if (config && config[0] == '/')
		sbuf_add(path, config);
	else if (home && home[0] == '/')
		sbuf_addf(path, "%s/.config", home);
	else
		return err_set(err, ERR_USAGE, "neither XDG_CONFIG_HOME nor HOME says where units go; --print shows the unit");
	sbuf_add(path, "/systemd/user");
	if (sbuf_done(path, err))
		return err->code;
	for (char *slash = strchr(path->s + 1, '/');; slash = strchr(slash + 1, '/')) {
		if (slash)
			*slash = '\0';
		if (mkdir(path->s, 0755) < 0 && errno != EEXIST)
			return err_errno(err, "make %s", path->s);
		if (!slash)
			break;
		*slash = '/';
	}
	*fd = open(path->s, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
	return *fd < 0 ? err_errno(err, "%s", path->s) : ERR_OK;
}

/* A unit is there whole or not at all. */
static err_code
write_unit(int dir, const struct sbuf *unit, struct err *err)
{
	static const char temp[] = "." UNIT ".new";
	AUTO(closep) int fd = openat(dir, temp, O_WRONLY | O_CREAT | O_TRUNC | O_NOFOLLOW | O_CLOEXEC, 0644);
	err_code rc;

	if (fd < 0)
		return err_errno(err, "write " UNIT);
	rc = write_full(fd, unit->s, unit->len, err);
	if (rc == ERR_OK && (fsync(fd) < 0 || renameat(dir, temp, dir, UNIT) < 0))
		rc = err_errno(err, "write " UNIT);
	if (rc)
		unlinkat(dir, temp, 0);
	return rc;
}

static err_code
install(const struct command_line *line, struct err *err)
{
	struct sbuf unit = SBUF(UNIT_MAX), text = SBUF(64 * KIB);
	AUTO(sbuf_fini) struct sbuf path = SBUF(PATH_MAX);
	AUTO(closep) int dir = -1;
	err_code rc = make_unit(line, &unit, err);

	if (rc == ERR_OK && command_has(line, 'o')) {
		cli_print(&unit);
		return ERR_OK;
	}
	if (rc == ERR_OK)
		rc = open_units(&path, &dir, err);
	if (rc == ERR_OK)
		rc = write_unit(dir, &unit, err);
	sbuf_fini(&unit);
	if (rc)
		return rc;
	if (!command_has(line, 'q')) {
		sbuf_add(&text, "Wrote ");
		sbuf_add_visible(&text, sbuf_str(&path));
		sbuf_add(&text, "/" UNIT ".  Start it, now and whenever you log in:\n\n"
		                "  systemctl --user daemon-reload\n"
		                "  systemctl --user enable --now " UNIT "\n\n"
		                "journalctl --user -u " UNIT " shows its log.  To have it run without a log-in: loginctl enable-linger\n");
	}
	cli_print(&text);
	return ERR_OK;
}

static int
run(const struct command_line *line)
{
	return cli_run(line, install);
}

const struct command COMMAND_INSTALL_SERVICE = {
	.name = "install-service",
	.args = "[DIR...]",
	.summary = "Have systemd run dray watch on linked folders when you log in",
	.options = "oq",
	.args_min = 0,
	.args_max = WATCH_FOLDERS_MAX,
	.run = run,
	.help = "Writes dray.service, a unit of your own systemd, to ~/.config/systemd/user or where\n"
	        "XDG_CONFIG_HOME says, and says how to start it.  All folders of that unit are named at once: a\n"
	        "second call replaces the first.\n",
};
