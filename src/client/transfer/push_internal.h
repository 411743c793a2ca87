#pragma once
/**
 * Inside of a push.  Packers read and hash files and fill parcels (chunks); senders send them; the thread that called push_run
 * commits what has arrived and tells the caller.
 *
 * Memory     (PACKERS + parallel + 2) chunk builders of CHUNK_LEN_MAX, and 4 MiB for each packer: 12 × 4.06 + 2 × 4 = 57 MiB with
 *            8 requests at once.  Items: at most ITEMS_MAX beyond those, each with 40 bytes a block; a single large file keeps its list
 *            up to LIST_KEEP_BLOCKS (40 MiB; a file of 64 GiB), longer ones only the tail that the server does not have yet.
 *            For each packer a walk (3 MiB) and a base, 52 bytes a block and 8 more for its place, up to LIST_KEEP_BLOCKS: 1 MiB for each
 *            GiB of a file, 60 MiB at 64 GiB.  Of an upload that is resumed, 16 bytes for each chunk that has arrived: 4 MiB for each TiB.
 *
 * P1  An item is committed only when every parcel with a block of it has been acknowledged (I2).  That holds for blocks of an earlier
 *     reading too, which a later one names: their parcels' shares count in the item's pending until they have arrived.
 * P2  A parcel belongs to one transfer; a large file has a transfer and parcels of its own.
 * P3  Every item that was started ends exactly once, in batch_finish, unless the whole push fails.
 * P4  Before the first chunk of a large file is sent, the state knows its transfer; it forgets it in the transaction that records the
 *     file.  So a run that is killed leaves nothing that the next one cannot go on with.
 * P5  A base may be any: a block is named in it only when the file's bytes hash to that block, so a wrong base costs time, never
 *     correctness; and the server compares the content that comes of it with the one that the file has (I3).
 */

#include "base/map.h"
#include "base/thread.h"
#include "chunk/align.h"
#include "chunk/blocklist.h"
#include "chunk/container.h"
#include "client/transfer/transfer_internal.h"

#define PACKERS 2                        /* hashing and compressing keep up with a gigabit line on one core */
#define SMALL_MAX (4 * MIB)              /* read whole before anything is decided: one page of a block list */
#define OWN_TRANSFER_MIN (16 * MIB)      /* below, the extents fit into the commit; above, the list travels in pages */
#define NEVER_SPLIT_MAX (256 * KIB)      /* files up to here lie in one chunk, so that a pull needs one request and no list */
#define DELTA_MIN BLOCK_LEN_MAX          /* files up to here are one block: there is nothing to keep of it */
#define ITEMS_MAX 8192                   /* started and not finished; more than two unsealed parcels can hold, so it never locks up */
#define BATCH_OPS_MAX 4000               /* operations of a commit: what a lost connection makes us repeat */
#define BATCH_BYTES_MAX (4 * MIB)        /* of its JSON, by estimate: half of what the server takes */
#define BATCH_WAIT_MS 1000               /* a finished file does not wait longer for company */
#define LIST_KEEP_BLOCKS (1024 * 1024)
#define READS_MAX 3                      /* of a file that changes while it is read */
#define SENDS_MAX 3                      /* of a file whose chunks the server then misses: as planned, from its newest list, from nothing */
#define EXTENT_JSON 512                  /* of a batch's budget: 110 bytes, but 4 of the JSON_VALUES_MAX that the server parses at once */
#define EXTENTS_INLINE_MAX 4096          /* a large file along a base is committed by its extents up to here: without a transfer */
#define ZERO_RUN 64                      /* blocks of a hole that are sent; the others are named: one extent for each so many */

/** One operation on its way to the server. */
struct item {
	struct item *next;
	const struct plan_op *op;
	struct plan_op second;        /* the second half of a move, as a push of its own */
	struct entry server;          /* what the server has there now; path NULL: nothing */
	struct entry entry;           /* what will have been agreed */
	bool send_content;            /* the operation brings new bytes */
	bool nothing;                 /* the server has it already: only to be recorded */
	bool known;                   /* its extents come from the state: nothing was sent */
	bool named;                   /* the last extent is in a chunk that the server has: the next block may lengthen it */
	bool transfer_over;           /* the server has ended its transfer */
	bool no_from;                 /* the server did not have the version that it was copied from */
	bool again;                   /* goes back to the packers */
	bool own_transfer;
	struct id transfer;
	struct upload *upload;        /* the journal's row of it, NULL: none yet */
	struct arrived *arrived;      /* what the server has of it from an earlier run */
	_Atomic uint32_t next_n;      /* the next number in it that is free, as far as is known */
	struct hash base;             /* the content that it is cut against; zero: on the grid */
	bool has_from;                /* its bytes are those of another file's version */
	struct id from_file;
	int64_t from_version;
	uint64_t fresh, kept;         /* bytes in parcels, and in chunks that the server has already */
	uint64_t counted;             /* bytes of it that the progress has seen, beside those in parcels */
	struct block *blocks;         /* of the content, from block list_first on */
	uint32_t *weak;               /* their rolling sums */
	struct wire_extent *extents;
	uint64_t list_first;          /* blocks that were dropped from the front: 0 while the list is whole */
	uint64_t list_sent;           /* blocks that the server has been told of */
	size_t block_count, block_cap, extent_count, extent_cap;
	unsigned generation;          /* of the reading: a parcel's share of an older one no longer concerns the extents */
	unsigned sends;
	unsigned pending;             /* guarded by push.mu: parcels not acknowledged, and 1 while it is being packed */
	struct err *why;              /* it failed */
	size_t json_len;              /* estimate */
};

/** A chunk on its way, and whose blocks are in it. */
struct parcel {
	struct parcel *next;
	struct chunk_builder *builder;
	struct id transfer;           /* with own_transfer */
	bool own_transfer;
	uint32_t n;                   /* in its transfer */
	uint64_t raw_len;
	struct share {
		struct item *item;
		size_t extent;
		unsigned generation;
	} *shares;                    /* one for each extent in it; an item's pending counts its shares */
	size_t share_count, share_cap;
};

struct list {
	struct item *head, **tail;
	size_t n, json_len;
};

/** An upload that the state's journal has; of this run, or left by an earlier one. */
struct upload {
	struct state_upload row;
	bool claimed;                 /* an item of this run goes on with it */
};

/** A commit's way through the project's clock. */
struct step {
	struct cursor before, after;
	struct hash digest;
};

struct push {
	const struct transfer_env *env;
	const struct plan_op *ops;
	size_t n;
	push_done done;
	unsigned packers, parallel;   /* set before they are started */
	struct step *steps;           /* the committer's: of the batch at hand */
	size_t step_count, step_cap;
	struct err *held;             /* the committer's: the server holds deletions, and why; NULL: it does not */
	bool flushed;                 /* the committer's: everything was made durable after the plan's scan */

	struct map *gone_inode;       /* dev, ino -> the entry that is gone from its name; built before any thread runs */
	struct map *gone_name;        /* last part of its path -> entry */
	struct arena *uploads_text;

	struct mutex mu;              /* RANK_POOL; guards all that follows */
	struct upload **uploads;
	size_t upload_count;
	struct cond can_pack, can_send, can_commit;
	size_t next_op;
	struct list retry;            /* to be packed again, or the second halves of moves */
	struct list ready;            /* to be committed, or failed */
	int64_t ready_since_ms;
	size_t items;                 /* started, not finished */
	unsigned packing;             /* packers that run */
	struct parcel *free_parcels;
	unsigned parcels;             /* made so far */
	struct parcel *sealed, **sealed_tail;
	bool stop;
	struct err err;               /* why, with stop */

	struct mutex transfer_mu;     /* RANK_DOMAIN; held over requests: all senders need its result */
	bool has_transfer;
	struct id transfer;           /* of all small files */
	_Atomic uint32_t next_n;
};

/* ---- push.c ----------------------------------------------------------------------------------------------------------------- */

void push_fail(struct push *p, const struct err *err);
bool push_stopped(struct push *p);
struct item *item_new(const struct plan_op *op);
void item_free(struct item *it);
void item_fail(struct item *it, const struct err *why); /* the first reason stays */
void list_init(struct list *l);
void list_add(struct list *l, struct item *it);
struct item *list_take(struct list *l);
/** item_settle(p, it, n): ${n} of its pending parts are done; at zero it is ready.  Takes push.mu. */
void item_settle(struct push *p, struct item *it, unsigned n);
/** in_files(op): whether an operation waits for the second phase: contents, links, modes. */
bool in_files(const struct plan_op *op);

/* ---- pack.c ----------------------------------------------------------------------------------------------------------------- */

void *packer_main(void *push);

struct packer;
/** pack_block(k, it, p, b, weak): add a block to the parcel at hand.  CANCELLED when the push has stopped. */
err_code pack_block(struct packer *k, struct item *it, const uint8_t *p, const struct block *b, uint32_t weak, struct err *err);
/** pack_named(k, it, chunk, slot, b, weak): the next block is one that the server has. */
void pack_named(struct packer *k, struct item *it, const struct hash *chunk, uint32_t slot, const struct block *b, uint32_t weak);
/** pack_seal(k): hand the parcel at hand to the senders. */
void pack_seal(struct packer *k);
/** pack_own(k, it): the blocks that follow go into the item's own transfer; pack_shared ends that. */
void pack_own(struct packer *k, struct item *it);
void pack_shared(struct packer *k);
/** pack_room(k, len): make sure that ${len} bytes fit into one parcel. */
void pack_room(struct packer *k, uint64_t len);

/* ---- read.c ------------------------------------------------------------------------------------------------------------------- */

/** read_file(k, p, buf, it, err): find out what is to be sent for a file, and pack it.  BUSY; or why the file cannot be read. */
err_code read_file(struct packer *k, struct push *p, uint8_t *buf, struct item *it, struct err *err);

/* ---- sparse.c ------------------------------------------------------------------------------------------------------------------- */

/** sparse_is(fd, size): whether the file has holes. */
bool sparse_is(int fd, uint64_t size);
/**
 * sparse_cut(fd, size, hole, fn, ctx, err): as align_fd along an empty base, and nothing is read or hashed of holes.  While ${fn} is called for a
 * block of a hole, *hole says how many blocks of it are left, this one included; else it is 0.
 */
err_code sparse_cut(int fd, uint64_t size, uint64_t *hole, align_fn fn, void *ctx, struct err *err);

/* ---- blocks.c: an item's block list ------------------------------------------------------------------------------------------- */

void item_list_reset(struct item *it);
void item_add_block(struct item *it, const struct block *b, uint32_t weak);
struct wire_extent *item_add_extent(struct item *it, const struct hash *chunk, uint32_t first);
/**
 * item_known(p, it): whether the server is known to have it->entry.content: under the name of a file, or by a list that the state has.  The
 * item then says so.
 */
bool item_known(struct push *p, struct item *it);
/** item_page_full(it): whether a page of the list that the server is told ends here.  Extents never go across. */
bool item_page_full(const struct item *it);
/**
 * item_list_send(p, it, err): tell the server the part of a long list that it has not been told.  All parcels so far are sealed, so that
 * every extent has its chunk's name.
 */
err_code item_list_send(struct push *p, struct item *it, struct err *err);
/** item_list_keep(s, it, err): remember the list of a committed content. */
err_code item_list_keep(struct state *s, const struct item *it, struct err *err);

/* ---- base.c: what a file may be made of already -------------------------------------------------------------------------------- */

/** Blocks that the server has, in the order in which the file may have them, and where they are. */
struct base {
	struct align_base *blocks;
	struct hash content;          /* whose blocks; zero: of several, or of none */
	struct hash *chunks;
	struct place {
		uint32_t chunk, slot;
	} *places;
	size_t count, cap, chunk_count, chunk_cap;
};
void base_init(struct base *b);
void base_fini(struct base *b);
/** base_find(p, it, fd, prefer, b): fill ${b} with what the file may be made of, or leave it empty.  ${prefer}: a content to try first, or NULL. */
void base_find(struct push *p, const struct item *it, int fd, const struct hash *prefer, struct base *b);
/** base_of_item(it, b): what an earlier reading of the file has made of it.  Every parcel of it is sealed. */
void base_of_item(const struct item *it, struct base *b);
/** base_gone(p): remember what the plan deletes on the server: what is new may be made of it. */
void base_gone(struct push *p);

/* ---- resume.c: uploads that have begun ----------------------------------------------------------------------------------------- */

/** uploads_load(p, err): the journal, before any thread runs. */
err_code uploads_load(struct push *p, struct err *err);
/** uploads_sweep(p): after a push that came to its end: give up uploads whose file is gone or another. */
void uploads_sweep(struct push *p);
void uploads_fini(struct push *p);
/** upload_claim(p, it): the journal's row of this file, if an earlier run has begun to send it: it->upload. */
void upload_claim(struct push *p, struct item *it);
/** upload_same_file(it): whether the claimed row speaks of the file as it is now. */
bool upload_same_file(const struct item *it);
/** upload_begin(p, it, err): a transfer of its own, the claimed one where it is still open; in the journal when this returns (P4). */
err_code upload_begin(struct push *p, struct item *it, struct err *err);
/** upload_has(it, chunk): whether the server has told that this chunk has arrived. */
bool upload_has(const struct item *it, const struct hash *chunk);
/** upload_over(rc, err): ${rc} of a request of its transfer.  TRANSFER_GONE also when the server does not know it any more. */
err_code upload_over(err_code rc, struct err *err);
/** upload_forget(p, it, err): in a transaction of the state: the item is recorded, and its upload is over. */
err_code upload_forget(struct push *p, struct item *it, struct err *err);
/** upload_drop(p, it, err): its transfer is over, and no more the journal's; the next one begins anew. */
err_code upload_drop(struct push *p, struct item *it, struct err *err);
/** upload_distrust(it): the server has lost what it said it had: send all of it again. */
void upload_distrust(struct item *it);
void arrived_free(struct arrived *a);

/* ---- send.c ----------------------------------------------------------------------------------------------------------------- */

void *sender_main(void *push);
struct parcel *parcel_take(struct push *p); /* an empty one; waits; NULL when the push has stopped */
void parcel_send(struct push *p, struct parcel *parcel);
/** parcel_settle(p, parcel, why): it has arrived, or will not (${why}, unless the push stops anyway): tell its items, empty it. */
void parcel_settle(struct push *p, struct parcel *parcel, const struct err *why);
void parcel_free(struct parcel *parcel);

/* ---- flush.c ---------------------------------------------------------------------------------------------------------------- */

/** push_flush(p, items, n, err): make durable here what the server is about to be told has happened here (I8).  IO. */
err_code push_flush(struct push *p, struct item *const *items, size_t n, struct err *err);

/* ---- batch.c ---------------------------------------------------------------------------------------------------------------- */

/** batch_run(p, items, err): commit all of ${items}, tell the caller how each ended, record it. */
err_code batch_run(struct push *p, struct list *items, struct err *err);
