#pragma once
/**
 * drayd fsck, shared by its files: fsck.c (the command), fsck_tree.c (the tree and its history), fsck_chunks.c (chunks and what the
 * metadata says of them), fsck_blocks.c (block lists), fsck_relations.c (transfers, checkpoints), fsck_findings.c (what has been found, and how it is shown).
 *
 * A check that cannot go on, because the database cannot be read there, notes that and lets the others do theirs.
 */

#include "base/map.h"
#include "chunk/container.h"
#include "server/copy_show.h"
#include "server/data.h"
#include "server/meta/check.h"

enum finding_kind {
#define FINDING(name, code, hint) FOUND_##name,
#include "server/fsck_findings.def"
#undef FINDING
	FOUND_COUNT
};

struct finding {
	enum finding_kind kind;
	struct id project; /* zero: none in particular */
	char *what;        /* a sentence without a full stop */
};

#define FINDINGS_KEPT_MAX 10000 /* of each kind; the others are counted */

struct findings {
	struct finding *list;
	size_t n;
	uint64_t count[FOUND_COUNT];
};

/** A header that is kept, by the first byte of its hash. */
struct kept_header {
	struct store_key key;
	struct chunk_header h; /* blocks NULL: the slot is empty */
};

struct fsck {
	const struct command_line *line;
	bool quick;
	struct data data;
	struct db *db;         /* meta's */
	struct chunk_copy chunks;
	struct copy_show show;
	struct findings found;
	struct map *bad;       /* struct store_key of chunks that cannot be read -> itself */
	struct kept_header headers[256];
	uint64_t rows;         /* looked at */
	uint64_t projects, entries, versions, lists, unnamed;
};

/** A project that is being looked at, at one instant. */
struct fsck_project {
	struct fsck *f;
	struct meta_tx *tx;
	struct project p; /* its name is not kept */
};

/** fsck_found(f, kind, project, fmt, …): ${project} may be NULL. */
void fsck_found(struct fsck *f, enum finding_kind kind, const struct id *project, const char *fmt, ...) FORMAT(4, 5);

/** fsck_unreadable(f, project, what, rc, err): a code that says the database is damaged becomes a finding, and ERR_OK; others stay. */
err_code fsck_unreadable(struct fsck *f, const struct id *project, const char *what, err_code rc, const struct err *err);

/** fsck_seen(f, n): ${n} rows more have been looked at. */
void fsck_seen(struct fsck *f, size_t n);

/** fsck_show(f): to standard output.  The exit status. */
int fsck_show(struct fsck *f);
void findings_fini(struct findings *found);

/** fsck_tree: every entry against its newest version, the sums of the project and of its directories.  fsck_history: every version. */
err_code fsck_tree(struct fsck_project *w, struct err *err);
err_code fsck_history(struct fsck_project *w, struct err *err);

/**
 * fsck_store(f, err): every chunk in the store, byte by byte unless f->quick; those that cannot be read are in f->bad then.
 * fsck_chunks(w, err): what the metadata says of each, against its header.  fsck_snapshots(w, err): likewise.  fsck_unnamed(f, err): counts objects.
 */
err_code fsck_store(struct fsck *f, struct err *err);
err_code fsck_chunks(struct fsck_project *w, struct err *err);
err_code fsck_snapshots(struct fsck_project *w, struct err *err);
err_code fsck_unnamed(struct fsck *f, struct err *err);

/** fsck_header(f, key, out, err): lent until the next call; NOT_FOUND, CHUNK_INVALID or HASH_MISMATCH when it is bad. */
err_code fsck_header(struct fsck *f, const struct store_key *key, const struct chunk_header **out, struct err *err);
void fsck_headers_fini(struct fsck *f);

/** fsck_relations(w, err): rows that no key ties together. */
err_code fsck_relations(struct fsck_project *w, struct err *err);

/** fsck_blocks(w, err): every block list: what it adds up to, and that its chunks have those blocks. */
err_code fsck_blocks(struct fsck_project *w, struct err *err);
