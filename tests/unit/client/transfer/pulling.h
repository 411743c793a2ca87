#pragma once
/** What tests of pull share: files served from memory, pulled into temporaries of the rig's folder. */

#include "rig.h"

#define FILES_MAX 6000

struct got {
	struct rig *r;
	const struct pull_file *first;
	err_code code[FILES_MAX];
	char name[FILES_MAX][32];
	bool opened[FILES_MAX], ended[FILES_MAX];
	size_t opened_n, ended_n;
	size_t fail_ready; /* ready() fails at the so-many-th call; 0: never */
	const char *open_as; /* this file is opened instead, for reading and writing */
	bool keep;         /* temporaries of the pull before stay, and are opened again */
	int inside;
};
extern struct got got;

/** pull(r, files, n): into files "temp-N", which stay until the next pull. */
err_code pull(struct rig *r, const struct pull_file *files, size_t n);
void assert_temp_is(struct rig *r, size_t i, const uint8_t *p, size_t len);

/** serve(…): a file of ${p}, cut into blocks of ${cut} bytes (0: the grid), in chunks of ${per_chunk} blocks. */
struct mem_file *serve(struct rig *r, const char *path, const uint8_t *p, size_t len, size_t cut, uint32_t per_chunk);
/** wanted(r, f, listed): as the feed tells of it: with extents up to a page of blocks, unless ${listed}. */
struct pull_file wanted(struct rig *r, const struct mem_file *f, bool listed);
/** serve_inserted(…): the list of ${old} behind a block of ${n} bytes in front. */
struct mem_file *serve_inserted(struct rig *r, const struct mem_file *old, const uint8_t *front, uint32_t n);

/** agree(r, path, f): into the base.  count_anew: what the server has been asked for so far is forgotten. */
void agree(struct rig *r, const char *path, const struct mem_file *f);
void count_anew(struct rig *r);
/** have(…): a file that a sync has brought here: in the tree, in the base, its list in the state; have_cut: as serve cuts it. */
struct mem_file *have(struct rig *r, const char *path, const uint8_t *p, size_t len);
struct mem_file *have_cut(struct rig *r, const char *path, const uint8_t *p, size_t len, size_t cut, uint32_t per_chunk);
/** newer(…): the wanted file ${f}, of which ${old} is the older version, here at ${old_path}. */
struct pull_file newer(struct rig *r, const struct mem_file *f, const char *old_path, const struct mem_file *old);
