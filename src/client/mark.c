#include "client/mark.h"

#include <fcntl.h>
#include <inttypes.h>
#include <sys/stat.h>

#include "base/clock.h"
#include "base/num.h"
#include "base/pathat.h"
#include "client/dot_file.h"

#define NAME "link"
#define TEXT_MAX (64 * KIB)
#define FIELDS 7
#define NS_PER_S INT64_C(1000000000)

err_code
mark_here(int root, struct mark_id *out, struct err *err)
{
	AUTO(closep) int dot = -1;
	struct statx st;
	err_code rc = pathat_open(root, ".dray", O_PATH | O_DIRECTORY, 0, &dot, err);

	if (rc)
		return rc;
	if (statx(dot, "", AT_EMPTY_PATH | AT_STATX_SYNC_AS_STAT, STATX_INO | STATX_BTIME, &st))
		return err_errno(err, ".dray");
	*out = (struct mark_id){ .ino = st.stx_ino };
	if (st.stx_mask & STATX_BTIME)
		out->born_ns = st.stx_btime.tv_sec * NS_PER_S + st.stx_btime.tv_nsec;
	return ERR_OK;
}

bool
mark_same(const struct mark_id *a, const struct mark_id *b)
{
	return a->ino == b->ino && (a->born_ns == b->born_ns || a->born_ns == 0 || b->born_ns == 0);
}

/* Fields, each with a NUL: no name has one. */
err_code
mark_write(int root, const struct state_link *link, const struct mark_id *id, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);
	char project[ID_HEX_LEN + 1], device[ID_HEX_LEN + 1];
	err_code rc;

	id_hex(&link->project, project);
	id_hex(&link->device, device);
	sbuf_addf(&sb, "%s%c%s%c%s%c%s%c%s%c%" PRIu64 "%c%" PRId64 "%c", link->url, 0, project, 0, device, 0, link->project_name, 0,
	    link->device_name, 0, id->ino, 0, id->born_ns, 0);
	rc = sbuf_done(&sb, err);
	return rc ? rc : dot_file_write(root, NAME, sbuf_str(&sb), sb.len, err);
}

static bool
split(const char *p, size_t len, const char *fields[static FIELDS])
{
	for (size_t i = 0; i < FIELDS; i++) {
		const char *end = len ? memchr(p, '\0', len) : NULL;

		if (!end)
			return false;
		fields[i] = p;
		len -= (size_t)(end - p) + 1;
		p = end + 1;
	}
	return len == 0;
}

static bool
parse(const char *const fields[static FIELDS], struct arena *a, struct state_link *link, struct mark_id *id)
{
	struct err ignored;
	uint64_t born;

	if (id_parse(fields[1], strlen(fields[1]), &link->project, &ignored) || id_parse(fields[2], strlen(fields[2]), &link->device, &ignored))
		return false;
	if (!parse_u64(fields[5], strlen(fields[5]), UINT64_MAX, &id->ino) || !parse_u64(fields[6], strlen(fields[6]), INT64_MAX, &born))
		return false;
	id->born_ns = (int64_t)born;
	link->url = arena_strdup(a, fields[0]);
	link->project_name = arena_strdup(a, fields[3]);
	link->device_name = arena_strdup(a, fields[4]);
	return true;
}

err_code
mark_read(int root, struct arena *a, struct state_link *link, struct mark_id *id, struct err *err)
{
	AUTO(sbuf_fini) struct sbuf sb = SBUF(TEXT_MAX);
	const char *fields[FIELDS];
	err_code rc = dot_file_read(root, NAME, &sb, err);

	if (rc)
		return rc;
	if (!split(sbuf_str(&sb), sb.len, fields) || !parse(fields, a, link, id))
		return err_set(err, ERR_STATE_DAMAGED, ".dray/" NAME " is not one");
	return ERR_OK;
}
