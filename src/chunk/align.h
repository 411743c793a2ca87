#pragma once
/**
 * Re-alignment (DESIGN 2.2): which blocks of a base does a changed file still have, and where?
 *
 * The base is a list of blocks, of one content or of several after each other.  The file is walked once.  Where the next expected block matches,
 * it is taken.  Where it does not, the in-place case is tried: one or two changed blocks, and the next one follows where the grid goes on.  Then a
 * rolling checksum looks for any block of BLOCK_LEN_MAX bytes of the base at any offset, and the grid is tried where it would go on.  What
 * lies between is new: as long as the base's blocks where they were changed in place, else cut from where the gap begins.  Every block that
 * comes out has been hashed, and one that is said to be the base's has that block's length and SHA-256.
 *
 * Why only blocks of full length are looked for: each length is a rolling sum of its own over every byte.  Shorter blocks lie between full
 * ones, so they are found from their neighbours, on either side, or because a new block turns out to be one.
 *
 * Splinters   Four blocks in a row that together are shorter than one become one, if something changed there: so of four blocks in a row that an
 *             edit leaves, the mean is 16 KiB at least.  A file that did not change keeps the base's layout, whatever that is.
 * Determined  The same bytes and the same base make the same blocks.
 *
 * What it costs, whatever the bytes and the base (align_counts says what it was):
 *   read      each byte once, by two threads where the file is 8 MiB or more; memory 3 MiB.
 *   hashed    at most twice the size and 4 MiB, and each byte once more that was merged from splinters.  Every block that comes out is hashed
 *             once.  A hash that is only a try is paid from a purse that holds 4 MiB at first and gets a byte for each byte walked; what turns
 *             out to be a block's hash is paid back.  With an empty purse nothing is tried, which costs bytes sent and no time.
 *   summed    weak sums: at most 20 times the size and 64 MiB, also from a purse; about 10 GB/s.  With the blocks of a 64 GiB file in the base, a
 *             32-bit sum is equal by chance once in 4 KiB; the weak sum of the block that should follow tells these apart for a 10th of a hash.
 *   rolled    each offset once, where sums are crafted at most five times, in constant time: a filter says no for 199 of 200 offsets at least,
 *             then at most ALIGN_CHAIN_MAX blocks are compared by their sums.
 * In place edits of up to 128 KiB do not roll at all.
 */

#include "chunk/blocklist.h"

/**
 * weak_sum(p, len): the rolling checksum of a block; kept with a block list, so that it can be looked for when its bytes are gone.  What it
 * is must not change: docs/format/alignment.md.
 */
uint32_t weak_sum(const uint8_t *p, size_t len);

/**
 * A base: 50 to 56 bytes of memory a block (44, and an index), so 0.9 MiB for each GiB of file, 50 MiB for 64 GiB.  Once built it is only read:
 * any number of threads may walk with it.  More than ALIGN_BASE_BLOCKS_MAX blocks are not taken: what comes after them is not found.
 */
struct align_base;

struct align_base *align_base_new(void);
void align_base_free(struct align_base *b);
void align_base_freep(struct align_base **b);

/**
 * align_base_add(b, blocks, weak, count): append blocks.  ${weak}: their weak sums, or NULL where they are not known: such blocks are
 * found where they are expected, but not looked for.  The index of a block is its place in all that was added, from 0 on.  Lengths are
 * 1..BLOCK_LEN_MAX (asserted: blocklist_unpack vouches for them).
 */
void align_base_add(struct align_base *b, const struct block *blocks, const uint32_t *weak, uint32_t count);

/** A block of the file as it came out. */
struct align_piece {
	uint64_t offset;
	const uint8_t *p;  /* its bytes, lent for the call */
	uint32_t len;      /* 1..BLOCK_LEN_MAX */
	struct hash hash;
	uint32_t weak;
	int64_t base;      /* the index of the base block that it is, or -1: new */
};
typedef err_code (*align_fn)(void *ctx, const struct align_piece *piece, struct err *err);

/**
 * align_fd(fd, size, base, fn, ctx, err): read ${size} bytes of ${fd} from offset 0 and hand every block to ${fn}, in order and without gaps.  With an
 * empty base this is cut_fd.
 * Errors     IO (also when the file ends early: reason "shrunk"), and whatever ${fn} answers.   Threads  any; blocks on disk.
 */
err_code align_fd(int fd, uint64_t size, const struct align_base *base, align_fn fn, void *ctx, struct err *err);

/** What a walk has cost so far. */
struct align_counts {
	uint64_t read, hashed, summed, rolled; /* bytes: read, through SHA-256, through weak_sum; offsets rolled over */
	uint64_t hashes;
};

/** align_fd_counted(…, counts, …): the same, and says what it cost, also when it fails. */
err_code align_fd_counted(int fd, uint64_t size, const struct align_base *base, align_fn fn, void *ctx, struct align_counts *counts,
    struct err *err);
