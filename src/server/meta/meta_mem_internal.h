#pragma once
/**
 * The back-end in memory, shared by its files.  Rows are values in one arena that lives as long as the back-end and never change;
 * a change is a new row.  Texts are copied into the transaction's arena on the way out, so whoever keeps one too long is caught
 * here as it would be over SQL.
 */

#include "base/thread.h"
#include "server/meta/mem_table.h"
#include "server/meta/meta_internal.h"

/* Tables and their keys. */
enum mem_which {
	MEM_PROJECT,          /* id */
	MEM_DEVICE,           /* id */
	MEM_DEVICE_TOKEN,     /* token hash */
	MEM_GRANT,            /* device, project */
	MEM_GRANT_PROJECT,    /* project, device */
	MEM_FILE,             /* project, id */
	MEM_FILE_PATH,        /* project, dir, name: live files */
	MEM_FILE_VERSION,     /* project, version */
	MEM_VERSION,          /* project, file, version */
	MEM_HISTORY_WALK,     /* project */
	MEM_CONFLICT,         /* project, copy */
	MEM_CONFLICT_AT,      /* project, created_at */
	MEM_BLOCKS,           /* project, list, page */
	MEM_CHUNK,            /* project, id */
	MEM_TRANSFER,         /* id */
	MEM_TRANSFER_CHUNK,   /* transfer, n */
	MEM_TRANSFER_BLOCKS,  /* transfer, first */
	MEM_TRANSFER_PROGRESS, /* transfer */
	MEM_TRANSFER_EVENT,   /* transfer, n */
	MEM_SNAPSHOT,         /* project, format, clock, id */
	MEM_CHECKPOINT,       /* project, device */
	MEM_DELETE_HOUR,      /* project, device */
	MEM_IDEMPOTENT,       /* device, key hash */
	MEM_TABLES
};

struct mem {
	struct meta base;
	struct mutex lock;     /* RANK_META; guards what follows but ${rows} */
	struct cond free_to_write;
	bool writing;
	struct mem_table *now[MEM_TABLES];
	struct arena *rows;    /* the writer's, of which there is one */
};

struct mem_tx {
	struct meta_tx base;
	struct mem *mem;
	struct mem_table *tables[MEM_TABLES]; /* this transaction's instant */
	bool own[MEM_TABLES];                 /* copied, so free to change */
};

/** Bytes of a block list. */
struct mem_bytes {
	const uint8_t *p;
	size_t len;
};

static inline struct mem_tx *
mem_of(struct meta_tx *tx)
{
	return (struct mem_tx *)tx;
}

/** mem_table(tx, which): to read.  mem_writable(tx, which): to change, copied first when it is shared. */
const struct mem_table *mem_table(struct meta_tx *tx, enum mem_which which);
struct mem_table *mem_writable(struct meta_tx *tx, enum mem_which which);

const void *mem_get(struct meta_tx *tx, enum mem_which which, const struct mem_key *k);
void mem_put(struct meta_tx *tx, enum mem_which which, const struct mem_key *k, const void *value);

/** mem_keep(tx, p, len), mem_keep_text(tx, s): a copy that lives as long as the back-end, for rows. */
void *mem_keep(struct meta_tx *tx, const void *p, size_t len);
const char *mem_keep_text(struct meta_tx *tx, const char *s);
/** mem_out_text(tx, s): a copy in the transaction's arena, for the caller. */
const char *mem_out_text(struct meta_tx *tx, const char *s);

/** mem_grow(tx, array, n, size): ${array} of ${n} elements, with room for one more at its end. */
void *mem_grow(struct meta_tx *tx, void *array, size_t n, size_t size);

/** Keys of the common shapes. */
void mem_key_of_id(struct mem_key *k, const struct id *id);
void mem_key_of_ids(struct mem_key *k, const struct id *a, const struct id *b);
void mem_key_of_row(struct mem_key *k, const struct id *a, const struct id *b, int64_t n); /* of MEM_VERSION, MEM_BLOCKS */
void mem_key_of_hash(struct mem_key *k, const struct id *id, const struct hash *h);

void mem_path_key(struct mem_key *k, const struct id *project, const char *dir, const char *name); /* of MEM_FILE_PATH */

/** mem_file_push(tx, out, n, row): a copy of the row at the end of *out, texts in the transaction's arena. */
void mem_file_push(struct meta_tx *tx, struct file **out, size_t *n, const struct file *row);

/** NOT_FOUND unless it is there. */
err_code mem_need_project(struct meta_tx *tx, const struct id *project, struct err *err);
err_code mem_need_device(struct meta_tx *tx, const struct id *device, struct err *err);

/** mem_project_stored(tx, project, delta): what every change of rows in MEM_CHUNK owes to its project's stored_bytes. */
void mem_project_stored(struct meta_tx *tx, const struct id *project, int64_t delta);

/** mem_project_horizon(tx, project, version): tombstones up to ${version} have gone. */
void mem_project_horizon(struct meta_tx *tx, const struct id *project, int64_t version);

/** mem_transfers_drop(tx, project): the transfers of a project that goes, with all that hangs on them. */
void mem_transfers_drop(struct meta_tx *tx, const struct id *project);

#define METHOD(mode, name, params, args) err_code mem_##name params;
#include "server/meta/methods.def"
#undef METHOD
