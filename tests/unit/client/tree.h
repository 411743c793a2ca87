#pragma once
/** A real folder for tests of the client: made anew for each test, removed with all that is in it. */

#include "base/base.h"

struct tree {
	char top[64];  /* absolute; holds root/ and canary/ */
	int top_fd;
	int root;      /* top/root: what is synchronised */
};

int tree_setup(void **state);
int tree_teardown(void **state);

/** All relative to the root, "../canary/x" leads outside.  They stop the test when the system refuses. */
void tree_mkdir(struct tree *t, const char *path);
void tree_write(struct tree *t, const char *path, const char *text);
void tree_symlink(struct tree *t, const char *path, const char *target);
void tree_time(struct tree *t, const char *path, int64_t mtime_ns);
bool tree_exists(struct tree *t, const char *path);
/** tree_is(t, path, text): a file with exactly these bytes. */
bool tree_is(struct tree *t, const char *path, const char *text);
/** tree_clear(t, path): remove what is in a directory. */
void tree_clear(struct tree *t, const char *path);
/** tree_holds(t, path, text): whether some file right in that directory has exactly these bytes. */
bool tree_holds(struct tree *t, const char *path, const char *text);
/** tree_count(t, path): entries of a directory. */
size_t tree_count(struct tree *t, const char *path);
