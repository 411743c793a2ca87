/*
 * Re-alignment.  Input: instructions of three bytes, what and a number n, that make a base and a file from it.  The lower three bits of what:
 *
 *   0  the base goes on with n noise bytes          4  the file goes on with n × 4 bytes of the base
 *   1  … with n bytes that are all n & 255          5  … which next come from n × 8
 *   2  … with n bytes of a short period             6  the file goes on with n noise bytes
 *   3  the base's next block is n bytes             7  … with n bytes that are all n & 255
 *
 * With bit 6 of a 3 the block's weak sum is another's, with bit 7 it is not known.
 *
 * The plan applied to the base is the file, block for block, and it costs no more than align.h says.
 */

#include "fuzz.h"

#include <assert.h>
#include <sys/mman.h>
#include <unistd.h>

#include "base/pathat.h"
#include "chunk/align.h"

#define LEN_MAX (6 * BLOCK_LEN_MAX)
#define BLOCKS_MAX 4096

struct bytes {
	uint8_t p[LEN_MAX];
	size_t len;
};

static struct scene {
	struct bytes base, file;
	uint32_t offsets[BLOCKS_MAX], lens[BLOCKS_MAX];
	uint32_t count;
	size_t from;  /* in the base: what the file copies next */
	uint64_t next; /* offset that must come */
} s;

static void
grow(struct bytes *b, unsigned what, size_t n)
{
	static const uint8_t SAME = 0, PERIOD = 2;
	size_t start = b->len, period = what == SAME ? 1 : n % 32 + 1;
	uint32_t x = (uint32_t)(b->len + 1) * 2654435761U;

	b->len += MIN(n, LEN_MAX - b->len);
	for (size_t i = start; i < b->len; i++) {
		x = x * 1664525 + 1013904223;
		if (what == SAME)
			b->p[i] = (uint8_t)n;
		else
			b->p[i] = what == PERIOD && i >= start + period ? b->p[i - period] : (uint8_t)(x >> 24);
	}
}

static void
copy(size_t n)
{
	size_t len = MIN(n, MIN(LEN_MAX - s.file.len, s.base.len - s.from));

	memcpy(s.file.p + s.file.len, s.base.p + s.from, len);
	s.file.len += len;
	s.from += len;
}

/* A block of ${len} bytes of the base, or what is left of it. */
static void
cut(struct align_base *b, size_t len, unsigned flags)
{
	uint32_t offset = s.count ? s.offsets[s.count - 1] + s.lens[s.count - 1] : 0;
	struct block block = { .len = (uint32_t)MIN(len, s.base.len - offset) };
	uint32_t weak;

	if (block.len == 0 || s.count == BLOCKS_MAX)
		return;
	block.hash = hash_of(s.base.p + offset, block.len);
	weak = weak_sum(s.base.p + (flags & 0x40 ? 0 : offset), block.len);
	align_base_add(b, &block, flags & 0x80 ? NULL : &weak, 1);
	s.offsets[s.count] = offset;
	s.lens[s.count++] = block.len;
}

static void
make(struct align_base *b, const uint8_t *p, size_t len)
{
	s.base.len = s.file.len = s.count = 0;
	s.from = s.next = 0;
	for (; len >= 3; p += 3, len -= 3) {
		size_t n = (size_t)get_u16le(p + 1) + 1;

		switch (p[0] & 7) {
		case 0: grow(&s.base, 1, n); break;
		case 1: grow(&s.base, 0, n); break;
		case 2: grow(&s.base, 2, n); break;
		case 3: cut(b, n, p[0]); break;
		case 4: copy(4 * n); break;
		case 5: s.from = s.base.len ? 8 * n % s.base.len : 0; break;
		case 6: grow(&s.file, 1, n); break;
		default: grow(&s.file, 0, n);
		}
	}
	for (size_t i = 0; i < LEN_MAX / BLOCK_LEN_MAX; i++)
		cut(b, BLOCK_LEN_MAX, 0);
}

static err_code
check(void *ctx, const struct align_piece *piece, struct err *err)
{
	struct hash hash = hash_of(piece->p, piece->len);

	(void)ctx;
	(void)err;
	assert(piece->offset == s.next && piece->len > 0 && piece->len <= BLOCK_LEN_MAX && piece->len <= s.file.len - s.next);
	assert(hash_eq(&hash, &piece->hash));
	assert(memcmp(s.file.p + s.next, piece->p, piece->len) == 0);
	if (piece->base >= 0) {
		assert(piece->base < s.count && s.lens[piece->base] == piece->len);
		assert(memcmp(s.file.p + s.next, s.base.p + s.offsets[piece->base], piece->len) == 0);
	}
	s.next += piece->len;
	return ERR_OK;
}

int
LLVMFuzzerTestOneInput(const uint8_t *p, size_t len)
{
	AUTO(align_base_freep) struct align_base *b = align_base_new();
	AUTO(closep) int fd = memfd_create("fuzz_align", MFD_CLOEXEC);
	struct align_counts n;
	err_code rc;

	make(b, p, len);
	rc = write_full(fd, s.file.p, s.file.len, NULL);
	assert(rc == ERR_OK);
	rc = align_fd_counted(fd, s.file.len, b, check, NULL, &n, NULL);
	assert(rc == ERR_OK);
	assert(s.next == s.file.len && n.read == s.file.len);
	assert(n.hashed <= 3 * s.file.len + 4 * MIB && n.summed <= 20 * s.file.len + 64 * MIB && n.rolled <= 5 * s.file.len);
	return 0;
}
