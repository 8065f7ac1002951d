/* PROXY headers: what is one, what becomes one, what is none. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/sys.h"
#include "sftp/proxy.h"

#define V2     "\r\n\r\n\0\r\nQUIT\n"
#define ROW(s) s, sizeof(s) - 1

static const struct {
    const char *bytes;
    size_t len;
    int r;
    const char *from; /* NULL: none */
} rows[] = {
    { ROW("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22\r\n"), 44, "192.0.2.1:56324" },
    { ROW("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22\r\nSSH-2.0-x\r\n"), 44, "192.0.2.1:56324" },
    { ROW("PROXY TCP6 2001:db8::1 2001:db8::2 1 65535\r\n"), 44, "[2001:db8::1]:1" },
    { ROW("PROXY UNKNOWN\r\n"), 15, NULL },
    { ROW("PROXY UNKNOWN a b c d\r\n"), 23, NULL },
    { ROW("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22\n"), 0, NULL },
    { ROW("P"), 0, NULL },
    { ROW(""), 0, NULL },
    { ROW("SSH-2.0-OpenSSH"), -EBADMSG, NULL },
    { ROW("PROXYTCP4 "), -EBADMSG, NULL },
    { ROW("PROXY TCP4 192.0.2.1 198.51.100.2 56324\r\n"), -EBADMSG, NULL },
    { ROW("PROXY TCP4 192.0.2.1 198.51.100.2 56324 22 1\r\n"), -EBADMSG, NULL },
    { ROW("PROXY TCP4 192.0.2.1 198.51.100.2 65536 22\r\n"), -EBADMSG, NULL },
    { ROW("PROXY TCP4 192.0.2.1 198.51.100.2 -1 22\r\n"), -EBADMSG, NULL },
    { ROW("PROXY TCP4 2001:db8::1 2001:db8::2 1 2\r\n"), -EBADMSG, NULL },
    { ROW("PROXY TCP6 192.0.2.1 192.0.2.2 1 2\r\n"), -EBADMSG, NULL },
    { ROW("PROXY UDP4 192.0.2.1 192.0.2.2 1 2\r\n"), -EBADMSG, NULL },
    { ROW("PROXY TCP4 host host 1 2\r\n"), -EBADMSG, NULL },
    { ROW("PROXY TCP4 192.0.2.1\0 192.0.2.2 1 2\r\n"), -EBADMSG, NULL },
    { ROW("PROXY \r\n"), -EBADMSG, NULL },
    { ROW("PROXY                                                                                                       "
          "          "),
      -EBADMSG, NULL },
    { ROW(V2 "\x21\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"), 28, "192.0.2.1:56324" },
    { ROW(V2 "\x21\x11\0\x0e\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16zz"), 30, "192.0.2.1:56324" },
    { ROW(V2 "\x21\x21\0\x24\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\1\x20\1\x0d\xb8\0\0\0\0\0\0\0\0\0\0\0\2\0\1\0\2"), 52,
      "[2001:db8::1]:1" },
    { ROW(V2 "\x20\0\0\0"), 16, NULL },
    { ROW(V2 "\x21\x31\0\1z"), 17, NULL },
    { ROW(V2 "\x21\x11\0\x0c\xc0"), 0, NULL },
    { ROW(V2), 0, NULL },
    { ROW("\r\n\r"), 0, NULL },
    { ROW(V2 "\x11\x11\0\x0c\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0\x16"), -EBADMSG, NULL },
    { ROW(V2 "\x22\x11\0\0"), -EBADMSG, NULL },
    { ROW(V2 "\x21\x11\0\x0b\xc0\0\2\1\xc6\x33\x64\2\xdc\4\0"), -EBADMSG, NULL },
    { ROW(V2 "\x21\x11\xff\xff"), -EBADMSG, NULL },
    { ROW("\r\n\r\n\0\r\nQUIX\n"), -EBADMSG, NULL },
};

static void headers_are_told_from_what_is_none(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct proxy_header h = { 0 };
        char text[PEER_TEXT_MAX];
        int r = proxy_parse((const uint8_t *)rows[i].bytes, rows[i].len, &h);
        if (r != rows[i].r)
            fail_msg("row %zu (%s): got %d, want %d", i, rows[i].bytes, r, rows[i].r);
        assert_int_equal(h.has_peer, rows[i].from != NULL);
        if (rows[i].from)
            peer_text(&h.from, text);
        if (rows[i].from)
            assert_string_equal(text, rows[i].from);
    }
}

/* A header in pieces is none until its last byte, and the same then. */
static void each_beginning_of_a_header_waits_for_more(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t n = 0; rows[i].r > 0 && n < (size_t)rows[i].r; n++) {
            struct proxy_header h;
            assert_int_equal(proxy_parse((const uint8_t *)rows[i].bytes, n, &h), 0);
        }
}

static void any_byte_changed_or_doubled_is_survived(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        for (size_t at = 0; at < rows[i].len; at++)
            for (unsigned byte = 0; byte < 256; byte++) {
                uint8_t copy[256];
                struct proxy_header h;
                memcpy(copy, rows[i].bytes, rows[i].len);
                copy[at] = (uint8_t)byte;
                int r = proxy_parse(copy, rows[i].len, &h);
                assert_true(r == -EBADMSG || (r >= 0 && (size_t)r <= rows[i].len));
            }
}

static unsigned refusals;
static void count_refusal(const struct peer *p, const char *why)
{
    (void)p;
    assert_non_null(why);
    refusals++;
}

static const struct {
    const char *name, *bytes;
    bool is_trusted, is_needed, is_late, goes_on, waits;
    const char *peer;
} fates[] = {
    { "a trusted header counts", "PROXY TCP4 192.0.2.1 192.0.2.2 7 8\r\nSSH", true, true, false, true, false,
      "192.0.2.1:7" },
    { "a stranger's header is dropped", "PROXY TCP4 192.0.2.1 192.0.2.2 7 8\r\nSSH", false, false, false, true, false,
      "127.0.0.1:1" },
    { "SSH without a header goes on", "SSH-2.0-x", true, false, false, true, false, "127.0.0.1:1" },
    { "SSH without a header that is needed is refused", "SSH-2.0-x", true, true, false, false, false, NULL },
    { "half a header waits", "PROXY TCP4 ", true, true, false, false, true, NULL },
    { "half a header for too long is refused", "PROXY TCP4 ", true, true, true, false, false, NULL },
    { "silence waits", "", true, false, false, false, true, NULL },
    { "silence for too long goes on", "", true, false, true, true, false, "127.0.0.1:1" },
};

static void a_connection_waits_for_its_header_and_no_longer(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(fates); i++) {
        struct proxy_queue q = { 0 };
        struct proxy_waiting w = { .is_trusted = fates[i].is_trusted,
                                   .is_needed = fates[i].is_needed,
                                   .until_ns = 1000 };
        int pair[2], fd = -1;
        struct peer p;
        char text[PEER_TEXT_MAX];
        refusals = 0;
        assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair), 0);
        assert_int_equal(write(pair[1], fates[i].bytes, strlen(fates[i].bytes)), (ssize_t)strlen(fates[i].bytes));
        assert_true(peer_parse("127.0.0.1:1", &w.peer));
        w.fd = pair[0];
        assert_true(proxy_wait(&q, &w));
        bool goes_on = proxy_next(&q, fates[i].is_late ? 1000 : 1, count_refusal, &fd, &p);
        if (goes_on != fates[i].goes_on || (q.n == 1) != fates[i].waits)
            fail_msg("%s: goes on %d, waits %zu", fates[i].name, goes_on, q.n);
        assert_int_equal(refusals, !goes_on && q.n == 0);
        if (goes_on) {
            char rest[16] = "";
            peer_text(&p, text);
            assert_string_equal(text, fates[i].peer);
            ssize_t n = recv(fd, rest, sizeof(rest) - 1, MSG_DONTWAIT);
            assert_true(n < 0 || strncmp(rest, "SSH", 3) == 0);
            close(fd);
        }
        if (q.n == 1)
            close(pair[0]);
        close(pair[1]);
    }
}

static void peers_are_written_as_they_are_read(void **state)
{
    static const char *const good[] = { "1.2.3.4:5", "[::1]:65535", "[2001:db8::1]:0" };
    static const char *const bad[] = { "",     "1.2.3.4", "1.2.3.4:", "1.2.3.4:65536", "[::1]", "[::1:5", "::1:5x",
                                       "[]:1", ":1",      "x:1" };
    char text[PEER_TEXT_MAX];
    struct peer p;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(good); i++) {
        assert_true(peer_parse(good[i], &p));
        peer_text(&p, text);
        assert_string_equal(text, good[i]);
    }
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        if (peer_parse(bad[i], &p))
            fail_msg("%s is no peer", bad[i]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(headers_are_told_from_what_is_none),
        cmocka_unit_test(each_beginning_of_a_header_waits_for_more),
        cmocka_unit_test(any_byte_changed_or_doubled_is_survived),
        cmocka_unit_test(a_connection_waits_for_its_header_and_no_longer),
        cmocka_unit_test(peers_are_written_as_they_are_read),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
