#include "unit.h"

#include "base/hash.h"

static const char *
hex(struct hash h)
{
	static char out[HASH_HEX_LEN + 1];

	return hash_hex(&h, out);
}

/* FIPS 180-2, appendix B, and the empty string. */
static void
known_values(void **state)
{
	char *million = xmalloc(1000000);

	(void)state;
	memset(million, 'a', 1000000);
	assert_string_equal(hex(hash_of(NULL, 0)), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
	assert_string_equal(hex(hash_of("abc", 3)), "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
	assert_string_equal(hex(hash_of("abcdbcdecdefdefgefghfghighijhijkijkljklmklmnlmnomnopnopq", 56)),
	    "248d6a61d20638b8e5c026930c3e6039a33ce45964ff2167f6ecedd419db06c1");
	assert_string_equal(hex(hash_of(million, 1000000)), "cdc76e5c9914fb9281a1c7e284d73e67f1809a48a497200e046d39ccc7112cd0");
	free(million);
}

static void
pieces_make_the_whole(void **state)
{
	uint8_t b[300];

	(void)state;
	for (size_t i = 0; i < sizeof b; i++)
		b[i] = (uint8_t)test_random();
	for (size_t cut = 0; cut <= sizeof b; cut++) {
		struct sha sha;
		struct hash got, want = hash_of(b, sizeof b);

		sha_init(&sha);
		sha_add(&sha, b, cut);
		sha_add(&sha, NULL, 0);
		sha_add(&sha, b + cut, sizeof b - cut);
		got = sha_final(&sha);
		assert_true(hash_eq(&got, &want));
		sha_fini(&sha); /* after final: nothing left to release */
	}
}

/*
 * Strings at odd addresses, of every length around the ends of SHA-256's steps of 64 bytes, and whole blocks: neighbours of one length, with others before
 * and after them, have the hashes that they have one by one.
 */
static void
each_has_its_hash(void **state)
{
	enum { LONG = 64 * KIB, STRINGS = 2 * HASH_LANES + 3 };
	uint8_t *bytes = xmalloc(STRINGS * (LONG + 1) + 1);

	(void)state;
	for (size_t i = 0; i < STRINGS * (LONG + 1) + 1; i++)
		bytes[i] = (uint8_t)test_random();
	for (size_t n = 0; n <= 300; n++) {
		const size_t len = n < 300 ? n : LONG;
		struct slice v[STRINGS];
		struct hash got[STRINGS];

		for (size_t i = 0; i < STRINGS; i++)
			v[i] = (struct slice){ bytes + 1 + i * (len + 1), i == n % STRINGS ? len / 2 : len };
		hash_each(v, STRINGS, got);
		for (size_t i = 0; i < STRINGS; i++) {
			struct hash want = hash_of(v[i].p, v[i].len);

			if (!hash_eq(&got[i], &want))
				fail_msg("string %zu of %zu bytes", i, v[i].len);
		}
	}
	free(bytes);
}

static void
abandoned_hash_is_released(void **state)
{
	struct sha sha;

	(void)state;
	sha_init(&sha);
	sha_add(&sha, "abc", 3);
	sha_fini(&sha); /* the leak checker sees to the rest */
	sha_fini(&sha);
}

static void
parse_is_strict(void **state)
{
	struct hash h = hash_of("abc", 3), got;
	char text[HASH_HEX_LEN + 2];
	struct err err;

	(void)state;
	hash_hex(&h, text);
	assert_ok(hash_parse(text, 64, &got, &err));
	assert_true(hash_eq(&got, &h));
	assert_code(hash_parse(text, 63, &got, &err), ERR_HASH_INVALID);
	assert_code(hash_parse(text, 62, &got, &err), ERR_HASH_INVALID);
	assert_code(hash_parse(text, 0, &got, &err), ERR_HASH_INVALID);
	text[64] = '0';
	text[65] = '\0';
	assert_code(hash_parse(text, 65, &got, &err), ERR_HASH_INVALID);
	for (size_t at = 0; at < 64; at += 63) {
		char was = text[at];

		for (int c = 0; c < 256; c++) {
			bool ok = (c >= '0' && c <= '9') || (c >= 'a' && c <= 'f');

			text[at] = (char)c;
			assert_int_equal(hash_parse(text, 64, &got, &err), ok ? ERR_OK : ERR_HASH_INVALID);
		}
		text[at] = was;
	}
}

static void
hex_both_ways(void **state)
{
	uint8_t all[256], back[256];
	char text[513];

	(void)state;
	for (size_t i = 0; i < 256; i++)
		all[i] = (uint8_t)i;
	hex_encode(all, 256, text);
	assert_int_equal(strlen(text), 512);
	assert_true(hex_decode(text, 512, back, 256));
	assert_memory_equal(all, back, 256);
	assert_false(hex_decode(text, 511, back, 255));
	assert_false(hex_decode(text, 512, back, 255));
	assert_true(hex_decode("", 0, back, 0));
}

static struct hash
number(uint8_t low, uint8_t fill)
{
	struct hash h;

	memset(h.b, fill, sizeof h.b);
	h.b[0] = low;
	return h;
}

static void
digest_carries_and_wraps(void **state)
{
	struct hash one = number(1, 0), zero = number(0, 0), most = number(0xFF, 0xFF), sum;

	(void)state;
	sum = most;
	digest_add(&sum, &one);
	assert_true(hash_is_zero(&sum)); /* 2^256 - 1 + 1 */
	digest_sub(&sum, &one);
	assert_true(hash_eq(&sum, &most)); /* 0 - 1 */
	digest_add(&sum, &most);
	assert_int_equal(sum.b[0], 0xFE); /* -1 - 1 = -2: a carry comes in where all bits are set */
	for (size_t i = 1; i < 32; i++)
		assert_int_equal(sum.b[i], 0xFF);
	for (size_t bit = 0; bit < 256; bit++) { /* 2^bit - 1 + 1: through every carry between words */
		struct hash low = zero, power = zero;

		for (size_t i = 0; i < bit; i++)
			low.b[i / 8] = (uint8_t)(low.b[i / 8] | 1U << i % 8);
		power.b[bit / 8] = (uint8_t)(1U << bit % 8);
		sum = low;
		digest_add(&sum, &one);
		assert_true(hash_eq(&sum, &power));
		digest_sub(&sum, &one);
		assert_true(hash_eq(&sum, &low));
	}
	assert_false(hash_is_zero(&one));
	assert_false(hash_is_zero(&(struct hash){ .b[31] = 1 }));
}

static void
digest_commutes(void **state)
{
	struct hash h[200], forth = { { 0 } }, back = { { 0 } };

	(void)state;
	for (uint32_t i = 0; i < 200; i++) {
		h[i] = hash_of(&i, sizeof i);
		digest_add(&forth, &h[i]);
	}
	for (size_t i = 200; i-- > 0;)
		digest_add(&back, &h[i]);
	assert_true(hash_eq(&forth, &back));
	for (size_t i = 0; i < 200; i += 2)
		digest_sub(&forth, &h[i]);
	for (size_t i = 1; i < 200; i += 2)
		digest_sub(&forth, &h[i]);
	assert_true(hash_is_zero(&forth));
	digest_sub(&back, &back);
	assert_true(hash_is_zero(&back)); /* the same object twice */
}

int
main(void)
{
	const struct CMUnitTest tests[] = {
		cmocka_unit_test(known_values),
		cmocka_unit_test(pieces_make_the_whole),
		cmocka_unit_test(each_has_its_hash),
		cmocka_unit_test(abandoned_hash_is_released),
		cmocka_unit_test(parse_is_strict),
		cmocka_unit_test(hex_both_ways),
		cmocka_unit_test(digest_carries_and_wraps),
		cmocka_unit_test(digest_commutes),
	};

	return cmocka_run_group_tests(tests, NULL, NULL);
}
