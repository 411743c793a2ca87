#pragma once
/**
 * Which names of a tree are ignored: the .drayignore files in it, with the syntax and the answers of gitignore(5).  A file speaks about what
 * lies beneath its directory; of the files that have something to say about a name the deepest has the word, and in it the last line that
 * matches.  What lies in an ignored directory is ignored, whatever is said about it.
 *
 * Cost       of an answer: at most the bytes of the rules above the name times the bytes of its path, without recursion and without memory;
 *            nothing at all where there are no rules.
 * Threads    one at a time; answers alone, any number.
 */

#include "base/err.h"
#include "base/limits.h"

#define IGNORE_FILE ".drayignore"

struct ignore;

struct ignore *ignore_new(void);
void ignore_free(struct ignore *ig);
void ignore_freep(struct ignore **ig);

/**
 * ignore_load(ig, root, dir): read the rules of directory ${dir} ("" is the root), instead of those it had.  NULL, or the static reason why they
 * are not known: ignore_not_file, ignore_unreadable, ignore_changing, ignore_too_large, ignore_line_too_long, ignore_too_many.  Then nothing may
 * be concluded about what lies in the directory.  A directory without such a file has no rules, and that is no reason.
 */
const char *ignore_load(struct ignore *ig, int root, const char *dir);

/** ignore_put(ig, dir, text, len): the same from memory. */
const char *ignore_put(struct ignore *ig, const char *dir, const char *text, size_t len);

/** ignore_rules(ig): whether there are any. */
bool ignore_rules(const struct ignore *ig);

/** ignore_name(ig, path, dir): whether ${path}, a directory or not, is ignored, given that the directory which it is in is not. */
bool ignore_name(const struct ignore *ig, const char *path, bool dir);

/** ignore_path(ig, path, dir): whether it is, or a directory above it. */
bool ignore_path(const struct ignore *ig, const char *path, bool dir);

/** ignore_line(ig, path, dir, file_dir): as ignore_path; the line that decided (from 1; 0: none), and the directory of its file, by its length in ${path}. */
bool ignore_line(const struct ignore *ig, const char *path, bool dir, unsigned *line, size_t *file_dir);

/** ignore_is_file(path): whether the path is that of a file of rules. */
bool ignore_is_file(const char *path);
