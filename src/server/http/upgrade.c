/*
 * The WebSocket handshake, read as strictly as everything else here: each field once, in its one form.  The key proves nothing; that
 * the answer depends on it shows the client that it speaks to a WebSocket server and not to a cache.
 */
#include "server/http/upgrade.h"

#include <openssl/evp.h>
#include <strings.h>

#define KEY_LEN 24 /* base64 of 16 bytes */

/* 22 digits whose last four bits are zero, and two times '='. */
static bool
is_key(const char *s)
{
	static const char digits[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";

	return strlen(s) == KEY_LEN && strspn(s, digits) == KEY_LEN - 2 && strchr("AQgw", s[KEY_LEN - 3]) &&
	    strcmp(s + KEY_LEN - 2, "==") == 0;
}

static void
accept_of(const char *key, char accept[static HTTP_ACCEPT_LEN + 1])
{
	char text[KEY_LEN + 36 + 1];
	uint8_t sha1[EVP_MAX_MD_SIZE];
	unsigned len = 0;
	int n = snprintf(text, sizeof text, "%s258EAFA5-E914-47DA-95CA-C5AB0DC85B11", key);

	if (!EVP_Digest(text, (size_t)n, sha1, &len, EVP_sha1(), NULL))
		abort(); /* no memory for a few hundred bytes, or no SHA-1 in the library */
	EVP_EncodeBlock((unsigned char *)accept, sha1, (int)len);
}

static err_code
check_fields(const struct head *h, const char *buf, struct err *err)
{
	static const char *const once[] = { "upgrade", "sec-websocket-key", "sec-websocket-version" };
	const char *connection = head_value(h, buf, "connection");

	for (size_t i = 0; i < ARRAY_LEN(once); i++)
		if (head_count(h, buf, once[i]) > 1)
			return err_set(err, ERR_UPGRADE_INVALID, "%s is given twice", once[i]);
	if (strcasecmp(head_value(h, buf, "upgrade"), "websocket") != 0)
		return err_set(err, ERR_UPGRADE_INVALID, "Upgrade: websocket is all that there is");
	if (!connection || head_count(h, buf, "connection") > 1 || !head_list_has(connection, "upgrade"))
		return err_set(err, ERR_UPGRADE_INVALID, "Connection does not say Upgrade");
	if (h->minor != 1 || h->method != METHOD_GET || h->framing != FRAMING_NONE)
		return err_set(err, ERR_UPGRADE_INVALID, "a handshake is a GET of HTTP/1.1 without a body");
	return ERR_OK;
}

err_code
upgrade_check(const struct head *h, const char *buf, char accept[static HTTP_ACCEPT_LEN + 1], struct err *err)
{
	const char *key = head_value(h, buf, "sec-websocket-key");
	const char *version = head_value(h, buf, "sec-websocket-version");
	err_code rc;

	if (!head_value(h, buf, "upgrade"))
		return err_set(err, ERR_UPGRADE_REQUIRED, "this is a WebSocket");
	rc = check_fields(h, buf, err);
	if (rc)
		return rc;
	if (!version || strcmp(version, "13") != 0)
		return err_set(err, ERR_UPGRADE_REQUIRED, "Sec-WebSocket-Version is not 13");
	if (!key || !is_key(key))
		return err_set(err, ERR_UPGRADE_INVALID, "Sec-WebSocket-Key is not the base64 of 16 bytes");
	accept_of(key, accept);
	return ERR_OK;
}
