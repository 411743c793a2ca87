#include "base/num.h"

bool
parse_u64(const char *s, size_t len, uint64_t max, uint64_t *out)
{
	uint64_t v = 0;

	if (len == 0 || (s[0] == '0' && len > 1))
		return false;
	for (size_t i = 0; i < len; i++) {
		if (s[i] < '0' || s[i] > '9')
			return false;
		if (__builtin_mul_overflow(v, 10, &v) || __builtin_add_overflow(v, (uint64_t)(s[i] - '0'), &v))
			return false;
	}
	if (v > max)
		return false;
	*out = v;
	return true;
}

char *
size_human(uint64_t bytes, char out[static SIZE_HUMAN_MAX])
{
	static const char *const UNIT[] = { "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
	double v = (double)bytes / 1024;
	size_t u = 0;

	if (bytes < 1024) {
		snprintf(out, SIZE_HUMAN_MAX, "%u B", (unsigned)bytes);
		return out;
	}
	/* 1023.95 would print as 1024.0: that is 1.0 of the next unit. */
	while (v >= 1023.95 && u + 1 < ARRAY_LEN(UNIT)) {
		v /= 1024;
		u++;
	}
	snprintf(out, SIZE_HUMAN_MAX, "%.1f %s", v, UNIT[u]);
	return out;
}
