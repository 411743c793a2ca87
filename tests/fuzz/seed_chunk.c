/* seed_chunk DIR: write the first corpora of codec, chunk_check and blocklist beneath DIR.  Deterministic. */

#include "base/pathat.h"

#include <unistd.h>

#include "chunk/blocklist.h"
#include "chunk/container.h"

static const char *dir;

static void
save(const char *corpus, const char *name, const void *p, size_t len)
{
	AUTO(closep) int fd = -1;
	char path[4096];
	struct err err;

	snprintf(path, sizeof path, "%s/%s/%s", dir, corpus, name);
	fd = open(path, O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0644);
	if (fd < 0 || write_full(fd, p, len, &err) != ERR_OK) {
		perror(path);
		exit(1);
	}
}

static void
noise(uint8_t *p, size_t len)
{
	uint32_t x = 12345;

	for (size_t i = 0; i < len; i++) {
		x = x * 1664525 + 1013904223;
		p[i] = (uint8_t)(x >> 24);
	}
}

static void
add(struct chunk_builder *b, const uint8_t *p, size_t len)
{
	struct hash h = hash_of(p, len);

	chunk_builder_add(b, p, len, &h);
}

static void
save_chunk(struct chunk_builder *b, const char *name)
{
	struct hash id;
	size_t len;
	const uint8_t *p = chunk_builder_finish(b, &id, &len);

	save("chunk_check", name, p, len);
	chunk_builder_reset(b);
}

static void
seed_chunks(const uint8_t *text, const uint8_t *random)
{
	AUTO(chunk_builder_freep) struct chunk_builder *b = chunk_builder_new();
	AUTO(freep) uint8_t *bad = NULL;
	struct hash id;
	size_t len;

	add(b, random, 1);
	save_chunk(b, "one-byte");
	add(b, text, 1500);
	save_chunk(b, "packed");
	add(b, random, 300);
	save_chunk(b, "raw");
	add(b, text, 900);
	add(b, random, 100);
	add(b, text, 1);
	add(b, text, BLOCK_LEN_MAX);
	save_chunk(b, "mixed");
	for (size_t i = 1; i <= 40; i++)
		add(b, text, i);
	save_chunk(b, "many-small");

	add(b, text, 900);
	add(b, random, 50);
	bad = xmalloc(1100);
	memcpy(bad, chunk_builder_finish(b, &id, &len), MIN(len, 1100));
	save("chunk_check", "truncated", bad, len - 7);
	bad[len - 1] ^= 1;
	save("chunk_check", "wrong-byte", bad, len);
	put_u32le(bad + 8, 1024);
	save("chunk_check", "count-too-large", bad, len);
}

static void
save_frame(const char *name, size_t raw_len, const uint8_t *frame, size_t len)
{
	uint8_t buf[4096];

	buf[0] = (uint8_t)(raw_len - 1);
	buf[1] = (uint8_t)((raw_len - 1) >> 8);
	memcpy(buf + 2, frame, len);
	save("codec", name, buf, len + 2);
}

static void
seed_frames(const uint8_t *text)
{
	static const size_t lens[] = { 64, 255, 256, 1500, BLOCK_LEN_MAX };
	static const uint8_t skippable[] = { 0x50, 0x2a, 0x4d, 0x18, 4, 0, 0, 0, 1, 2, 3, 4 };
	AUTO(codec_freep) struct codec *c = codec_new();
	AUTO(freep) uint8_t *out = xmalloc(BLOCK_LEN_MAX);
	size_t len = 0;
	char name[32];

	for (size_t i = 0; i < ARRAY_LEN(lens); i++) {
		if (!codec_pack(c, text, lens[i], out, &len))
			continue;
		snprintf(name, sizeof name, "frame-%zu", lens[i]);
		save_frame(name, lens[i], out, len);
	}
	if (!codec_pack(c, text, 1500, out, &len))
		exit(1);
	save_frame("size-too-small", 1499, out, len);
	save_frame("truncated", 1500, out, len - 3);
	memcpy(out + len, skippable, sizeof skippable);
	save_frame("skippable-after", 1500, out, len + sizeof skippable);
	save_frame("skippable", 4, skippable, sizeof skippable);
}

static void
save_list(const struct blocklist *l, const char *name)
{
	size_t len = blocklist_packed_len(l);
	AUTO(freep) uint8_t *p = xmalloc(len);

	blocklist_pack(l, p);
	save("blocklist", name, p, len);
}

static void
seed_lists(void)
{
	struct block blocks[64];
	struct extent extents[] = {
		{ hash_of("a", 1), 0, 1 },
		{ hash_of("b", 1), CHUNK_BLOCKS_MAX - 2, 2 },
		{ hash_of("c", 1), 7, 61 },
	};

	for (size_t k = 0; k < ARRAY_LEN(blocks); k++)
		blocks[k] = (struct block){ hash_of(&k, sizeof k), (uint32_t)(k % 3 ? BLOCK_LEN_MAX : k + 1) };
	save_list(&(struct blocklist){ extents, 1, blocks, 1 }, "one");
	save_list(&(struct blocklist){ extents, 2, blocks, 3 }, "two-extents");
	save_list(&(struct blocklist){ extents, 3, blocks, 64 }, "full-page");
	save_list(&(struct blocklist){ extents, 2, blocks, 5 }, "sum-wrong");
	extents[0].first = CHUNK_BLOCKS_MAX;
	save_list(&(struct blocklist){ extents, 1, blocks, 1 }, "extent-outside");
	blocks[0].len = BLOCK_LEN_MAX + 1;
	extents[0].first = 0;
	save_list(&(struct blocklist){ extents, 1, blocks, 1 }, "block-too-long");
	save("blocklist", "empty", "", 0);
}

int
main(int argc, char **argv)
{
	static uint8_t text[BLOCK_LEN_MAX], random[1000];

	if (argc != 2)
		return 2;
	dir = argv[1];
	for (size_t i = 0; i < sizeof text; i++)
		text[i] = (uint8_t)("the quick brown fox jumps over the lazy dog, "[i % 45]);
	noise(random, sizeof random);
	seed_chunks(text, random);
	seed_frames(text);
	seed_lists();
	return 0;
}
