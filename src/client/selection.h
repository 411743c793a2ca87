#pragma once
/**
 * Which part of the project this device keeps: .dray/selection.  Each path that has a word says whether it and what lies beneath it is kept; of
 * the paths above a name the deepest has the word, and without one all is kept.  A directory on the way to something that is kept is kept, without the
 * rest of it; so are the ignore rules (.drayignore) of each directory that is.
 *
 * The file is what somebody wishes; a pass compares it with what is here (pass_selected.c), so it may be replaced at any time.
 */

#include "base/err.h"
#include "base/limits.h"

struct selection;

struct selection_word {
	const char *path; /* "": the whole project */
	bool kept;
};

struct selection *selection_new(void); /* all is kept */
void selection_free(struct selection *s);
void selection_freep(struct selection **s);

/** selection_load(root, out, err): that of the linked folder.  STATE_DAMAGED: it is damaged; nothing may be concluded then. */
err_code selection_load(int root, struct selection **out, struct err *err);

/** selection_save(root, s, err): durable.  USAGE: more paths than SELECTION_PATHS_MAX, or longer ones than SELECTION_FILE_MAX bytes. */
err_code selection_save(int root, const struct selection *s, struct err *err);

/** selection_set(s, path, kept): what was said of ${path} and of what lies beneath it is not said any more. */
void selection_set(struct selection *s, const char *path, bool kept);

/** selection_keeps(s, path): whether ${path} is kept here. */
bool selection_keeps(const struct selection *s, const char *path);

/** selection_word_of(s, path): the word that decides about it; NULL: none does, and it is kept. */
const struct selection_word *selection_word_of(const struct selection *s, const char *path);

/** selection_all(s): whether everything is. */
bool selection_all(const struct selection *s);

/** selection_words(s, n): the words, by path; lent until the next change. */
const struct selection_word *selection_words(const struct selection *s, size_t *n);
