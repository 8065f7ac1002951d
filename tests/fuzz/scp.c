/* SCP and the SSH commands: two bytes (upload mode, size of pieces), a line, a zero byte, and what the client sends. */
#include <stddef.h>
#include <stdint.h>

#include "sftp/stream.h"
#include "tests/fuzz/home.h"

enum { STEPS_MAX = 2000 };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int run(struct stream *s)
{
    size_t len;
    int r = STREAM_MORE;
    for (int i = 0; i < STEPS_MAX && r == STREAM_MORE; i++) {
        r = s->ops->step(s->s);
        s->ops->output(s->s, &len);
        s->ops->sent(s->s, len);
    }
    return r;
}

static void talk(struct stream *s, const uint8_t *data, size_t size, size_t piece)
{
    int r = run(s);
    while (size > 0 && r == STREAM_WAITS) {
        size_t n = MIN(MIN(size, piece), s->ops->room(s->s));
        if (n == 0 || s->ops->feed(s->s, data, n) < 0)
            return;
        data += n;
        size -= n;
        r = run(s);
    }
    if (r != STREAM_WAITS)
        return;
    s->ops->eof(s->s);
    fuzz_require(run(s) != STREAM_WAITS); /* nobody sends any more: it must end */
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    struct stream s = { 0 };
    const uint8_t *end = size > 2 ? memchr(data + 2, 0, size - 2) : NULL;

    if (!end)
        return 0;
    struct account *a = fuzz_home_begin(data[0]);
    if (stream_command(a, (const char *)data + 2, &s) == 0)
        talk(&s, end + 1, size - (size_t)(end + 1 - data), (size_t)data[1] + 1);
    stream_free(&s);
    fuzz_home_end();
    return 0;
}
