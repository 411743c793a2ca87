/* Rows that no key ties to others, and that must agree all the same. */
#include "server/fsck_internal.h"

static const struct {
	enum meta_wrong which;
	enum finding_kind kind;
	const char *of, *what;
} relations[] = {
	{ WRONG_TRANSFER_CHUNK, FOUND_TRANSFER, "transfer", "counts on a chunk that is not known" },
	{ WRONG_TRANSFER_COUNT, FOUND_TRANSFER, "transfer", "has another number of chunks than it says" },
	{ WRONG_TRANSFER_LEFT, FOUND_TRANSFER, "transfer", "has ended and left rows behind" },
	{ WRONG_CHECKPOINT, FOUND_CHECKPOINT, "device", "says that it is further than the project" },
};

static err_code
check(struct fsck_project *w, size_t r, struct err *err)
{
	char hex[ID_HEX_LEN + 1];
	struct id *ids;
	size_t n;
	err_code rc = meta_check_wrong(w->tx, &w->p.id, relations[r].which, &ids, &n, err);

	for (size_t i = 0; !rc && i < n; i++)
		fsck_found(w->f, relations[r].kind, &w->p.id, "%s %s %s", relations[r].of, id_hex(&ids[i], hex), relations[r].what);
	return rc;
}

err_code
fsck_relations(struct fsck_project *w, struct err *err)
{
	err_code rc = ERR_OK;

	for (size_t r = 0; !rc && r < ARRAY_LEN(relations); r++)
		rc = check(w, r, err);
	return rc;
}
