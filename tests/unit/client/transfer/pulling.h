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
