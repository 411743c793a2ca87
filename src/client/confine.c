#include "client/confine.h"

#include <errno.h>
#include <fcntl.h>
#include <linux/landlock.h>
#include <stdlib.h>
#include <sys/prctl.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/fault.h"

/* Of Linux 6.2 and 6.10, include/uapi/linux/landlock.h; Debian 12's header ends at 5.19. */
#ifndef LANDLOCK_ACCESS_FS_TRUNCATE
#define LANDLOCK_ACCESS_FS_TRUNCATE (1ULL << 14)
#endif
#ifndef LANDLOCK_ACCESS_FS_IOCTL_DEV
#define LANDLOCK_ACCESS_FS_IOCTL_DEV (1ULL << 15)
#endif

/* Before ABI 2 a file could not be moved to another directory at all. */
#define ABI_LEAST 2
#define ABI_TRUNCATE 3
#define ABI_IOCTL_DEV 5

#define READING (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_READ_DIR)
#define WRITING \
	(LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE | LANDLOCK_ACCESS_FS_REMOVE_DIR | LANDLOCK_ACCESS_FS_REMOVE_FILE | \
	    LANDLOCK_ACCESS_FS_MAKE_DIR | LANDLOCK_ACCESS_FS_MAKE_REG | LANDLOCK_ACCESS_FS_MAKE_SYM | LANDLOCK_ACCESS_FS_REFER)
/* What nobody needs, not even beneath the folder: nothing of the kind is ever synced. */
#define NEVER \
	(LANDLOCK_ACCESS_FS_EXECUTE | LANDLOCK_ACCESS_FS_MAKE_CHAR | LANDLOCK_ACCESS_FS_MAKE_BLOCK | LANDLOCK_ACCESS_FS_MAKE_SOCK | \
	    LANDLOCK_ACCESS_FS_MAKE_FIFO | LANDLOCK_ACCESS_FS_IOCTL_DEV)
/* Of a rule for what is no directory the kernel takes these only. */
#define OF_FILES (LANDLOCK_ACCESS_FS_READ_FILE | LANDLOCK_ACCESS_FS_WRITE_FILE | LANDLOCK_ACCESS_FS_TRUNCATE)

/** A ruleset in the making. */
struct ruleset {
	int fd;
	uint64_t handled; /* what this kernel knows of the above */
};

static uint64_t
known_to(long abi)
{
	uint64_t known = READING | WRITING | NEVER;

	if (abi < ABI_TRUNCATE)
		known &= ~(uint64_t)LANDLOCK_ACCESS_FS_TRUNCATE;
	if (abi < ABI_IOCTL_DEV)
		known &= ~(uint64_t)LANDLOCK_ACCESS_FS_IOCTL_DEV;
	return known;
}

static err_code
find_abi(long *abi, struct err *err)
{
	*abi = syscall(SYS_landlock_create_ruleset, NULL, 0, LANDLOCK_CREATE_RULESET_VERSION);
	if (*abi < 0)
		return err_sys(err, ERR_NOT_IMPLEMENTED, errno, "this kernel has no Landlock, or it is switched off");
	if (*abi < ABI_LEAST || FAULT("client.no_landlock"))
		return err_set(err, ERR_NOT_IMPLEMENTED, "the Landlock of this kernel cannot move files between directories");
	return ERR_OK;
}

static err_code
allow(const struct ruleset *rs, int fd, uint64_t access, struct err *err)
{
	struct landlock_path_beneath_attr rule = { .allowed_access = access & rs->handled, .parent_fd = fd };
	struct stat st;

	if (fstat(fd, &st) < 0)
		return err_errno(err, "look at what to leave open");
	if (!S_ISDIR(st.st_mode))
		rule.allowed_access &= OF_FILES;
	if (syscall(SYS_landlock_add_rule, rs->fd, LANDLOCK_RULE_PATH_BENEATH, &rule, 0) < 0)
		return err_errno(err, "add a rule of Landlock");
	return ERR_OK;
}

/* Not every system has every place. */
static err_code
allow_path(const struct ruleset *rs, const char *path, uint64_t access, struct err *err)
{
	AUTO(closep) int fd = path && *path ? open(path, O_PATH | O_CLOEXEC) : -1;

	return fd < 0 ? ERR_OK : allow(rs, fd, access, err);
}

/* Who makes it puts new ones in its place, so a rule for the file would soon be one for a file that is gone. */
static err_code
allow_resolver(const struct ruleset *rs, struct err *err)
{
	AUTO(freep) char *path = realpath("/etc/resolv.conf", NULL);
	char *slash = path ? strrchr(path, '/') : NULL;

	if (!slash || slash == path)
		return ERR_OK;
	*slash = '\0';
	return allow_path(rs, path, READING, err);
}

/* What libraries read while they work: names of hosts, authorities, plug-ins, time zones, how many processors there are; a sanitizer, the program itself. */
static err_code
allow_system(const struct ruleset *rs, struct err *err)
{
	static const char *const read[] = { "/etc", "/usr", "/lib", "/lib32", "/lib64", "/proc", "/sys/devices/system/cpu", "/dev/random",
		"/dev/urandom", "/proc/self/exe" };
	static const char *const named[] = { "SSL_CERT_FILE", "SSL_CERT_DIR", "CURL_CA_BUNDLE" };
	static const char *const written[] = { "/dev/null", "/dev/tty" };
	err_code rc = allow_resolver(rs, err);

	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(read); i++)
		rc = allow_path(rs, read[i], READING, err);
	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(named); i++)
		rc = allow_path(rs, getenv(named[i]), READING, err);
	for (size_t i = 0; rc == ERR_OK && i < ARRAY_LEN(written); i++)
		rc = allow_path(rs, written[i], READING | WRITING, err);
	return rc;
}

err_code
confine_check(struct err *err)
{
	long abi;

	return find_abi(&abi, err);
}

err_code
confine_to(int root, struct err *err)
{
	struct landlock_ruleset_attr attr = { 0 };
	AUTO(closep) int fd = -1;
	struct ruleset rs;
	long abi;
	err_code rc = find_abi(&abi, err);

	if (rc)
		return rc;
	attr.handled_access_fs = known_to(abi);
	fd = (int)syscall(SYS_landlock_create_ruleset, &attr, sizeof attr, 0);
	if (fd < 0)
		return err_errno(err, "make a ruleset of Landlock");
	rs = (struct ruleset){ .fd = fd, .handled = attr.handled_access_fs };
	rc = allow(&rs, root, READING | WRITING, err);
	if (rc == ERR_OK)
		rc = allow_system(&rs, err);
	if (rc)
		return rc;
	if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || syscall(SYS_landlock_restrict_self, fd, 0) < 0)
		return err_errno(err, "restrict this thread by Landlock");
	return ERR_OK;
}
