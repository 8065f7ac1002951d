/* otpauth://totp/ISSUER:ACCOUNT?… (the key URI format of phones) -> libqrencode -> a grey PNG by libpng. */
#include "api/qr.h"

#include <png.h>
#include <qrencode.h>
#include <stdlib.h>
#include <string.h>

#include "store/base64.h"
#include "store/totp.h"

enum { DOT_PIXELS = 5, QUIET_DOTS = 4, URI_MAX = 2048 };

static void uri_add(struct strbuf *b, const char *text)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

    for (; *text != '\0'; text++)
        if (strchr(plain, *text) != NULL)
            strbuf_addc(b, *text);
        else
            strbuf_addf(b, "%%%02X", (unsigned char)*text);
}

static void uri_write(struct strbuf *b, const struct totp_provider *p, const char *account, const char *secret)
{
    char algo[8];

    str_set(algo, sizeof(algo), p->algo);
    for (char *c = algo; *c != '\0'; c++)
        *c = *c >= 'a' && *c <= 'z' ? (char)(*c - 'a' + 'A') : *c;
    strbuf_adds(b, "otpauth://totp/");
    uri_add(b, p->issuer);
    strbuf_addc(b, ':');
    uri_add(b, account);
    strbuf_addf(b, "?algorithm=%s&digits=%d&issuer=", algo, (int)TOTP_PASSCODE_MAX);
    uri_add(b, p->issuer);
    strbuf_addf(b, "&period=%d&secret=%s", (int)TOTP_STEP_S, secret);
}

/* Black dots on a white ground with a quiet zone, one byte a pixel. */
static uint8_t *pixels_of(const QRcode *qr, unsigned side)
{
    uint8_t *pixels = malloc((size_t)side * side);

    if (pixels == NULL)
        return NULL;
    memset(pixels, 0xff, (size_t)side * side);
    for (unsigned y = 0; y < (unsigned)qr->width * DOT_PIXELS; y++)
        for (unsigned x = 0; x < (unsigned)qr->width * DOT_PIXELS; x++)
            if (qr->data[y / DOT_PIXELS * (unsigned)qr->width + x / DOT_PIXELS] & 1)
                pixels[(y + QUIET_DOTS * DOT_PIXELS) * side + x + QUIET_DOTS * DOT_PIXELS] = 0;
    return pixels;
}

static int png_write(const uint8_t *pixels, unsigned side, uint8_t **ret, size_t *ret_len)
{
    png_image image = { .version = PNG_IMAGE_VERSION, .width = side, .height = side, .format = PNG_FORMAT_GRAY };
    png_alloc_size_t len = 0;

    if (!png_image_write_to_memory(&image, NULL, &len, 0, pixels, 0, NULL))
        return -ENOMEM;
    uint8_t *png = malloc(len);
    if (png == NULL || !png_image_write_to_memory(&image, png, &len, 0, pixels, 0, NULL)) {
        free(png);
        return -ENOMEM;
    }
    *ret = png;
    *ret_len = len;
    return 0;
}

static int qr_png(const char *text, uint8_t **ret, size_t *ret_len)
{
    QRcode *qr = QRcode_encodeString(text, 0, QR_ECLEVEL_M, QR_MODE_8, 1);
    if (qr == NULL)
        return -ENOMEM; /* URI_MAX fits the largest code */

    unsigned side = ((unsigned)qr->width + 2 * QUIET_DOTS) * DOT_PIXELS;
    uint8_t *pixels = pixels_of(qr, side);
    int r = pixels != NULL ? png_write(pixels, side, ret, ret_len) : -ENOMEM;
    free(pixels);
    QRcode_free(qr);
    return r;
}

int qr_of_totp(const struct totp_provider *p, const char *account, const char *secret, char **ret)
{
    CLEANUP(strbuf_done) struct strbuf uri = STRBUF(URI_MAX);
    uint8_t *png = NULL;
    size_t len = 0;

    uri_write(&uri, p, account, secret);
    int r = strbuf_ok(&uri);
    if (r == 0)
        r = qr_png(uri.s, &png, &len);
    if (r < 0)
        return r;
    char *text = malloc(4 * ((len + 2) / 3) + 1);
    if (text != NULL)
        base64_encode(BASE64_STD, png, len, text);
    free(png);
    *ret = text;
    return text != NULL ? 0 : -ENOMEM;
}
