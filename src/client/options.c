/*
 * Options that several commands take.
 */
#include "base/limits.h"
#include "base/num.h"
#include "client/cli.h"

#define TIMEOUT_MAX 86400            /* seconds */
#define RATE_MIN (2 * HTTP_BODY_RATE_MIN) /* a server takes slower lines for dead ones */
#define RATE_MAX (1024 * GIB)

err_code
cli_parallel(const struct command_line *line, unsigned *out, struct err *err)
{
	const char *text = command_value(line, 'P');
	uint64_t n = 0;

	if (text && (!parse_u64(text, strlen(text), HTTP_PER_DEVICE_MAX, &n) || n == 0))
		return err_set(err, ERR_USAGE, "--parallel takes a number from 1 to %d", HTTP_PER_DEVICE_MAX);
	*out = (unsigned)n;
	return ERR_OK;
}

err_code
cli_timeout(const struct command_line *line, int64_t *retry_ms, struct err *err)
{
	const char *text = command_value(line, 'T');
	uint64_t n = 0;

	if (text && (!parse_u64(text, strlen(text), TIMEOUT_MAX, &n) || n == 0))
		return err_set(err, ERR_USAGE, "--timeout takes a number of seconds from 1 to %d", TIMEOUT_MAX);
	*retry_ms = (int64_t)n * 1000;
	return ERR_OK;
}

/* The digits after the point, as thousandths; false when there are none, or too many. */
static bool
parse_thousandths(const char *s, size_t len, uint64_t *out)
{
	*out = 0;
	if (len == 0 || len > 3)
		return false;
	for (size_t i = 0; i < 3; i++) {
		if (i < len && (s[i] < '0' || s[i] > '9'))
			return false;
		*out = 10 * *out + (i < len ? (uint64_t)(s[i] - '0') : 0);
	}
	return true;
}

/* "", "K", "KB", "KiB": all of 1,024, as curl and rsync have it. */
static bool
parse_unit(const char *s, uint64_t *out)
{
	static const char letters[] = "KMG";
	const char *at;

	*out = 1;
	if (*s && (at = strchr(letters, *s & ~0x20))) {
		*out = UINT64_C(1) << (10 * (at - letters + 1));
		s++;
		s += *s == 'i';
	}
	return *s == '\0' || ((*s == 'B' || *s == 'b') && s[1] == '\0');
}

bool
rate_parse(const char *s, uint64_t *out)
{
	size_t len = strspn(s, "0123456789"), fraction_len;
	uint64_t whole, thousandths = 0, unit;

	if (!parse_u64(s, len, RATE_MAX, &whole))
		return false;
	s += len;
	if (*s == '.') {
		fraction_len = strspn(++s, "0123456789");
		if (!parse_thousandths(s, fraction_len, &thousandths))
			return false;
		s += fraction_len;
	}
	if (!parse_unit(s, &unit) || whole > RATE_MAX / unit)
		return false;
	*out = whole * unit + thousandths * unit / 1000;
	return *out >= RATE_MIN;
}

err_code
cli_rate(const struct command_line *line, uint64_t *bytes_per_s, struct err *err)
{
	const char *text = command_value(line, 'L');

	*bytes_per_s = 0;
	if (text && !rate_parse(text, bytes_per_s))
		return err_set(err, ERR_USAGE, "--limit-rate takes bytes a second as 500K, 1.5M or 1G, at least %zuK", RATE_MIN / KIB);
	return ERR_OK;
}
