/*
 * What people look at: a directory, what is and was at a path, the versions of a file.
 */
#include "base/path.h"
#include "client/remote/requests.h"

#define DIR_PAGE 500
#define VERSIONS_PAGE 200

/* ${text} as the value of a query, every byte that could mean something escaped. */
static void
add_escaped(struct sbuf *sb, const char *text)
{
	static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-._~/";

	for (const char *s = text; *s; s++) {
		if (strchr(plain, *s))
			sbuf_addc(sb, *s);
		else
			sbuf_addf(sb, "%%%02X", (unsigned char)*s);
	}
}

/* The server is not trusted: what it lists is a name that may be shown, and made here (I11). */
static err_code
files_check(const struct wire_file *files, size_t n, struct err *err)
{
	for (size_t i = 0; i < n; i++) {
		struct err why;

		if (path_check(files[i].path, strlen(files[i].path), &why))
			return err_set(err, ERR_PROTOCOL, "the server sent an unacceptable path (%s)", err_info(why.code)->code);
		if (files[i].version <= 0 || files[i].size < 0 || (uint64_t)files[i].size > FILE_SIZE_MAX)
			return err_set(err, ERR_PROTOCOL, "the server sent a file with impossible numbers: %s", files[i].path);
	}
	return ERR_OK;
}

static err_code
get_files(struct remote_http *r, const char *path, struct arena *a, struct wire_file **out, size_t *n, const char **next,
    struct err *err)
{
	AUTO(sbuf_fini) struct sbuf text = SBUF(ANSWER_JSON_MAX);
	struct http_call c = { .method = "GET", .path = path, .accept = TYPE_JSON, .text = &text };
	err_code rc = request_run(r, &c, err);

	if (rc)
		return rc;
	rc = wire_files_read((const uint8_t *)sbuf_str(&text), text.len, a, out, n, next, err);
	if (rc)
		return answer_bad(err, "a list of files");
	return files_check(*out, *n, err);
}

/* Whether ${path} lies in ${dir}: directly, or with ${deep} anywhere beneath it. */
static bool
lies_in(const char *path, const char *dir, bool deep)
{
	size_t len = strlen(dir);

	if (len > 0 && (strncmp(path, dir, len) != 0 || path[len] != '/'))
		return false;
	return deep || strchr(path + len + (len > 0), '/') == NULL;
}

/* The query of a view; what is looked for beneath a directory begins with its path and a slash. */
static void
add_view(struct sbuf *path, const char *dir, const struct remote_view *view)
{
	sbuf_add(path, view->search ? "&prefix=" : "&dir=");
	add_escaped(path, dir);
	if (view->search) {
		sbuf_add(path, *dir ? "/&search=" : "&search=");
		add_escaped(path, view->search);
	} else if (view->sort) {
		sbuf_addf(path, "&sort=%s&desc=%d", view->sort, view->desc);
	} else {
		sbuf_add(path, "&order=path");
	}
}

err_code
request_dir(struct remote *base, const char *dir, const struct remote_view *view, const char *after, struct arena *a,
    struct wire_file **out, size_t *n, const char **next, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf path = SBUF(HTTP_URI_MAX);
	bool may_be_empty = view->search || view->sort;
	err_code rc;

	sbuf_addf(&path, "/projects/%s/files?limit=%d", r->project, DIR_PAGE);
	add_view(&path, dir, view);
	if (after) {
		sbuf_add(&path, "&cursor=");
		add_escaped(&path, after);
	}
	if (sbuf_done(&path, err))
		return err_set(err, ERR_PATH_TOO_LONG, "the path is too long for a request");
	rc = get_files(r, sbuf_str(&path), a, out, n, next, err);
	for (size_t i = 0; !rc && i < *n; i++)
		if (!lies_in((*out)[i].path, dir, view->search != NULL))
			rc = err_set(err, ERR_PROTOCOL, "the server lists %s, which was not asked for", (*out)[i].path);
	if (!rc && *next && ((*n == 0 && !may_be_empty) || (after && strcmp(after, *next) == 0)))
		rc = err_set(err, ERR_PROTOCOL, "a page of a directory that does not lead on");
	return rc;
}

err_code
request_at(struct remote *base, const char *at, struct arena *a, struct wire_file **out, size_t *n, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf path = SBUF(HTTP_URI_MAX);
	const char *next;
	err_code rc;

	sbuf_addf(&path, "/projects/%s/files/at?path=", r->project);
	add_escaped(&path, at);
	if (sbuf_done(&path, err))
		return err_set(err, ERR_PATH_TOO_LONG, "the path is too long for a request");
	rc = get_files(r, sbuf_str(&path), a, out, n, &next, err);
	for (size_t i = 0; !rc && i < *n; i++)
		if (strcmp((*out)[i].path, at) != 0 || (i > 0 && !(*out)[i].deleted))
			rc = err_set(err, ERR_PROTOCOL, "the server tells of %s, which was not asked for", (*out)[i].path);
	if (!rc && *n == 0)
		rc = err_set(err, ERR_NOT_FOUND, "there is no such file");
	return rc;
}

err_code
request_versions(struct remote *base, const struct id *file, int64_t before, struct arena *a, struct wire_version **out, size_t *n,
    bool *more, struct err *err)
{
	struct remote_http *r = remote_http_of(base);
	AUTO(sbuf_fini) struct sbuf text = SBUF(ANSWER_JSON_MAX);
	char path[REQUEST_PATH_MAX], id[ID_HEX_LEN + 1];
	struct http_call c = { .method = "GET", .accept = TYPE_JSON, .text = &text };
	err_code rc;

	c.path = request_path(r, path, "/files/%s/versions?limit=%d&before=%lld", id_hex(file, id), VERSIONS_PAGE, (long long)before);
	rc = request_run(r, &c, err);
	if (rc)
		return rc;
	rc = wire_versions_read((const uint8_t *)sbuf_str(&text), text.len, a, out, n, more, err);
	if (rc)
		return answer_bad(err, "a page of versions");
	for (size_t i = 0; i < *n; i++) {
		if ((*out)[i].version >= before)
			return err_set(err, ERR_PROTOCOL, "a page of versions that does not lead back");
		before = (*out)[i].version;
	}
	if (*more && *n == 0)
		return err_set(err, ERR_PROTOCOL, "an empty page of versions that goes on");
	return ERR_OK;
}
