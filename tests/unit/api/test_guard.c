/* The head of a request: the rows that a guard refuses, and those that it must not. */
#include <sys/socket.h>
#include <unistd.h>

#include "api/http.h"
#include "tests/unit/api/row.h"

struct header {
    const char *name, *value;
    size_t len; /* 0: that of value */
};

static const struct guard_row {
    const char *name, *target;
    bool old_version;
    struct header headers[4];
    const char *complaint;
} rows[] = {
    { "plain", "/a", false, { { "Host", "x", 0 } }, NULL },
    { "with a length", "/a", false, { { "host", "x", 0 }, { "CONTENT-LENGTH", "10", 0 } }, NULL },
    { "chunked", "/a", false, { { "Host", "x", 0 }, { "Transfer-Encoding", "Chunked", 0 } }, NULL },
    { "a tab in a value", "/a", false, { { "Host", "x", 0 }, { "A", "b\tc", 0 } }, NULL },
    { "no host in 1.0", "/a", true, { { "A", "b", 0 } }, NULL },
    { "no host", "/a", false, { { "A", "b", 0 } }, "no Host" },
    { "two hosts", "/a", false, { { "Host", "x", 0 }, { "HOST", "x", 0 } }, "more than one Host" },
    { "two lengths",
      "/a",
      false,
      { { "Host", "x", 0 }, { "Content-Length", "1", 0 }, { "Content-Length", "1", 0 } },
      "more than one Content-Length" },
    { "a negative length",
      "/a",
      false,
      { { "Host", "x", 0 }, { "Content-Length", "-1", 0 } },
      "invalid Content-Length" },
    { "a list of lengths",
      "/a",
      false,
      { { "Host", "x", 0 }, { "Content-Length", "1, 1", 0 } },
      "invalid Content-Length" },
    { "an empty length", "/a", false, { { "Host", "x", 0 }, { "Content-Length", "", 0 } }, "invalid Content-Length" },
    { "a length of 30 digits",
      "/a",
      false,
      { { "Host", "x", 0 }, { "Content-Length", "100000000000000000000000000000", 0 } },
      "invalid Content-Length" },
    { "length and chunks",
      "/a",
      false,
      { { "Host", "x", 0 }, { "Content-Length", "1", 0 }, { "Transfer-Encoding", "chunked", 0 } },
      "Content-Length with Transfer-Encoding" },
    { "gzip", "/a", false, { { "Host", "x", 0 }, { "Transfer-Encoding", "gzip", 0 } }, "unknown Transfer-Encoding" },
    { "gzip, chunked",
      "/a",
      false,
      { { "Host", "x", 0 }, { "Transfer-Encoding", "gzip, chunked", 0 } },
      "unknown Transfer-Encoding" },
    { "chunked twice",
      "/a",
      false,
      { { "Host", "x", 0 }, { "Transfer-Encoding", "chunked", 0 }, { "Transfer-Encoding", "chunked", 0 } },
      "unknown Transfer-Encoding" },
    { "a control byte", "/a", false, { { "Host", "x", 0 }, { "A", "b\x01", 0 } }, "control byte in a header" },
    { "DEL", "/a", false, { { "Host", "x", 0 }, { "A", "b\x7f", 0 } }, "control byte in a header" },
    { "NUL", "/a", false, { { "Host", "x", 0 }, { "A", "b\0c", 3 } }, "control byte in a header" },
    { "an absolute target", "http://x/a", false, { { "Host", "x", 0 } }, "invalid request target" },
    { "an asterisk", "*", false, { { "Host", "x", 0 } }, "invalid request target" },
    { "an encoded NUL", "/a%00b", false, { { "Host", "x", 0 } }, "NUL in the request target" },
    { "a control byte in the target", "/a\x01", false, { { "Host", "x", 0 } }, "control byte in the request target" },
};

static void heads_with_two_meanings_are_refused(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct http_head head = { .old_version = rows[i].old_version };
        for (const struct header *h = rows[i].headers; h < rows[i].headers + 4 && h->name != NULL; h++)
            http_head_add(&head, h->name, strlen(h->name), h->value, h->len != 0 ? h->len : strlen(h->value));
        row_same(rows[i].name, http_guard(&head, rows[i].target), rows[i].complaint);
    }
}

static void the_length_is_read(void **state)
{
    struct http_head head = { 0 };

    (void)state;
    http_head_add(&head, "Content-Length", 14, "1048577", 7);
    assert_int_equal(head.length, BODY_MAX + 1);
}

static void the_peer_of_a_unix_socket_is_known(void **state)
{
    int pair[2], pipe_fds[2];

    (void)state;
    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM, 0, pair), 0);
    assert_int_equal(pipe(pipe_fds), 0);
    if (geteuid() == 0)
        assert_true(peer_is_trusted(pair[0]));
    assert_false(peer_is_trusted(pipe_fds[0])); /* not a socket at all */
    close(pair[0]);
    close(pair[1]);
    close(pipe_fds[0]);
    close(pipe_fds[1]);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(heads_with_two_meanings_are_refused),
        cmocka_unit_test(the_length_is_read),
        cmocka_unit_test(the_peer_of_a_unix_socket_is_known),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
