#include "base/id.h"

#include "base/clock.h"
#include "base/hash.h"
#include "base/rng.h"

struct id
id_new(void)
{
	uint64_t ms = (uint64_t)(clock_wall_us() / 1000);
	struct id id;

	/* Big-endian, so that byte order is time order; 48 bits last until the year 10889. */
	for (size_t i = 0; i < 6; i++)
		id.b[i] = (uint8_t)(ms >> (40 - 8 * i));
	rng_bytes(id.b + 6, sizeof id.b - 6);
	return id;
}

char *
id_hex(const struct id *id, char out[static ID_HEX_LEN + 1])
{
	return hex_encode(id->b, sizeof id->b, out);
}

err_code
id_parse(const char *s, size_t len, struct id *out, struct err *err)
{
	struct id id;

	if (!hex_decode(s, len, id.b, sizeof id.b))
		return err_set(err, ERR_ID_INVALID, "an id is 32 lower-case hexadecimal digits");
	*out = id;
	return ERR_OK;
}

bool
id_is_zero(const struct id *id)
{
	static const struct id ZERO;

	return id_eq(id, &ZERO);
}
