/* Cursors and tokens: a cursor has one spelling; a token's checksum is looked at without reading past its end. */
#include <assert.h>

#include "fuzz.h"
#include "wire/wire.h"

int
LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
	const char *s = (const char *)data;
	char text[CURSOR_MAX];
	struct cursor c;

	if (cursor_parse(s, len, &c, NULL) == ERR_OK) {
		assert(c.clock >= 0);
		if (c.has_epoch)
			assert(strlen(cursor_format(&c, text)) == len && memcmp(text, s, len) == 0);
	}
	if (token_check(s, len))
		assert(len == TOKEN_LEN);
	return 0;
}
