#include "base/base.h"

#include <errno.h>
#include <unistd.h>

static void *
must(void *p, size_t len)
{
	if (!p) {
		fprintf(stderr, "out of memory: %zu bytes\n", len);
		abort();
	}
	return p;
}

/* A length of 0 still answers a pointer of its own, so NULL has the one meaning "nothing owned". */

void *
xmalloc(size_t len)
{
	return must(malloc(len ? len : 1), len);
}

void *
xcalloc(size_t n, size_t len)
{
	return must(n && len ? calloc(n, len) : calloc(1, 1), len);
}

void *
xrealloc(void *p, size_t len)
{
	return must(realloc(p, len ? len : 1), len);
}

char *
xstrdup(const char *s)
{
	return must(strdup(s), strlen(s) + 1);
}

void
freep(void *pp)
{
	void *p;

	/* memcpy, because the variable is a T * and not a void *: reading it as one would break the aliasing rules. */
	memcpy(&p, pp, sizeof p);
	free(p);
}

void
closep(int *fd)
{
	int saved = errno;

	if (*fd >= 0)
		close(*fd);
	errno = saved;
}
