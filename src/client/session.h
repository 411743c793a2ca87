#pragma once
/**
 * A command that talks to a project's server without working on a linked folder: by the link of the folder that it is called in, or by
 * --url, --project and a token.
 */

#include "client/cli.h"
#include "client/folder.h"

struct session {
	struct arena *arena;    /* owns all text */
	struct remote *remote;
	struct state_link link; /* url and project; of a linked folder also the names */
	char *root;             /* the linked folder, NULL without one */
	const char *here;       /* where in the project the current directory is: "" at the top, and without a linked folder */
};

/**
 * session_open(line, near, out, err): ${near} is a path on this disk whose linked folder is meant, it need not exist; NULL: the current
 * directory.
 * Errors     USAGE, NOT_LINKED, TOKEN_*, TLS_REQUIRED, DB, IO.  Nothing has been sent yet.
 */
err_code session_open(const struct command_line *line, const char *near, struct session **out, struct err *err);
void session_free(struct session *s);
void session_freep(struct session **s);

/**
 * session_path(s, typed, out, err): the project path that ${typed} means, "" for the top.  In a linked folder a path as on this disk:
 * relative to the current directory, or absolute; else a path of the project.  Neither need exist.
 * Errors     USAGE: it leads out of the project; the rules of names.
 */
err_code session_path(struct session *s, const char *typed, const char **out, struct err *err);

/**
 * linked_path(typed, a, root, out, err): the linked folder that ${typed} lies in, and its path in the project as of session_path, both in ${a}; nobody is
 * asked, and it need not exist.
 * Errors     NOT_LINKED; the rules of names.
 */
err_code linked_path(const char *typed, struct arena *a, const char **root, const char **out, struct err *err);

/** session_live(s, path, a, out, err): what is at ${path} now.  NOT_FOUND says so in words. */
err_code session_live(struct session *s, const char *path, struct arena *a, struct wire_file *out, struct err *err);

/** token_find(line, buf, cap, token, err): from --token, DRAY_TOKEN, or typed on the terminal into ${buf}. */
err_code token_find(const struct command_line *line, char *buf, size_t cap, const char **token, struct err *err);

/** url_clean(typed, out, cap, err): "https://host:port", whatever was typed around it. */
err_code url_clean(const char *typed, char *out, size_t cap, struct err *err);

/** project_parse(typed, out, err): --project.  USAGE. */
err_code project_parse(const char *typed, struct id *out, struct err *err);

/** path_name(path): the last component, lent. */
const char *path_name(const char *path);
