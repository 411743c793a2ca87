/* A request's head: whole and split at a place that the input chooses, the result must be the same; and it must be sound. */
#include <assert.h>

#include "fuzz.h"
#include "server/http/admit.h"

static err_code
parse(const uint8_t *data, size_t len, size_t split, struct head *h, char *buf, bool *done)
{
	struct err err;
	err_code rc;

	if (len > 0)
		memcpy(buf, data, len);
	head_init(h);
	rc = head_feed(h, buf, split, done, &err);
	if (!rc && !*done)
		rc = head_feed(h, buf, len, done, &err);
	return rc;
}

static void
check(const struct head *h, const char *buf, size_t len)
{
	const struct admit admit = { .hosts = (char *[]){ NULL }, .any_ip = true };
	struct err err;

	assert(h->len <= len && h->len <= HTTP_HEAD_MAX && h->field_count <= HTTP_FIELDS_MAX);
	assert(buf[h->target] == '/' && strlen(buf + h->target) == h->target_len && h->target_len <= HTTP_URI_MAX);
	assert(h->framing != FRAMING_LENGTH || (h->length > 0 && h->length <= INT64_MAX));
	assert(h->framing != FRAMING_CHUNKED || (!h->length_given && h->minor == 1));
	for (size_t i = 0; i < h->field_count; i++) {
		assert(buf[h->fields[i].name] != '\0');
		assert(h->fields[i].value + strlen(buf + h->fields[i].value) < h->len);
	}
	(void)!admit_check(&admit, h, buf, &err);
}

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	char *a = malloc(len + !len), *b = malloc(len + !len);
	struct head whole, pieces;
	bool whole_done = false, pieces_done = false;
	err_code rc, other;

	assert(a && b);
	rc = parse(data, len, len, &whole, a, &whole_done);
	other = parse(data, len, len ? data[len / 2] % (len + 1) : 0, &pieces, b, &pieces_done);
	assert(rc == other && whole_done == pieces_done && whole.pos == pieces.pos && memcmp(a, b, len) == 0);
	if (!rc && whole_done)
		check(&whole, a, len);
	free(a);
	free(b);
	return 0;
}
