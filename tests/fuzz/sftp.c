/* The whole engine on a real home. An input is a byte (upload mode; the highest bit: the rest is fed as it is) and
 * requests: type, length in two bytes, content; the frame is put around them here, so that mutations reach the fields.
 *
 * Nothing may crash, leak or hang, nothing outside the home may change, and what comes out is whole packets. */
#include <stddef.h>
#include <stdint.h>

#include "sftp/engine.h"
#include "sftp/packet.h"
#include "tests/fuzz/home.h"

enum { STEPS_MAX = 200, RAW = 0x80 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void output_take(struct engine *e)
{
    size_t len;
    const uint8_t *out = engine_output(e, &len);
    struct packet_in in = { .p = out, .left = len };

    while (in.left > 0) {
        size_t n;
        packet_bytes(&in, &n);
        fuzz_require(packet_ok(&in) && n >= 5);
    }
    engine_sent(e, len);
    engine_notices(e, &len);
    engine_notices_sent(e);
}

/* False when the channel is over. */
static bool engine_run(struct engine *e)
{
    for (int i = 0; i < STEPS_MAX; i++) {
        int r = engine_step(e);
        output_take(e);
        if (r <= 0)
            return r == 0;
    }
    return false; /* a copy without an end: the client goes */
}

static bool feed(struct engine *e, const void *bytes, size_t len)
{
    return len <= engine_room(e) && engine_feed(e, bytes, len) == 0 && engine_run(e);
}

static bool feed_request(struct engine *e, uint8_t type, const uint8_t *body, size_t len)
{
    uint8_t head[9] = { [4] = type, [8] = 1 };
    packet_set_u32(head, (uint32_t)len + 5);
    return feed(e, head, sizeof(head)) && feed(e, body, len);
}

static void feed_all(struct engine *e, const uint8_t *data, size_t size)
{
    bool goes_on = feed(e, "\0\0\0\5\1\0\0\0\3", 9);
    while (goes_on && size >= 3) {
        size_t len = MIN((size_t)data[1] << 8 | data[2], size - 3);
        goes_on = feed_request(e, data[0], data + 3, len);
        data += 3 + len;
        size -= 3 + len;
    }
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct engine *e = NULL;

    if (size == 0)
        return 0;
    struct account *a = fuzz_home_begin(data[0]);
    fuzz_require(engine_new(a, &e) == 0);
    if (data[0] & RAW)
        feed(e, data + 1, size - 1);
    else
        feed_all(e, data + 1, size - 1);
    engine_free(e);
    fuzz_home_end();
    return 0;
}
