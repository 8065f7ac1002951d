/* Batching below libssh: what is in hand is readable, and nothing else starves for it. */
#include <poll.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "sftp/io_shim.h"

enum { POLLS_MAX = 64 };

static int pair[2];

static int setup(void **state)
{
    (void)state;
    if (socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) < 0)
        return -1;
    return io_shim_start(pair[0]);
}

static int teardown(void **state)
{
    (void)state;
    fd_close(&pair[0]);
    fd_close(&pair[1]);
    return 0;
}

static void arrive(size_t n)
{
    static char bytes[65536];
    assert_int_equal(write(pair[1], bytes, n), (ssize_t)n);
}

static void bytes_in_hand_are_readable_without_the_kernel(void **state)
{
    char buf[4096];
    (void)state;

    arrive(10000);
    assert_int_equal(recv(pair[0], buf, sizeof(buf), 0), sizeof(buf));
    assert_true(io_shim_pending());
    for (size_t left = 10000 - sizeof(buf); left > 0;) {
        struct pollfd p = { .fd = pair[0], .events = POLLIN | POLLOUT };
        assert_int_equal(poll(&p, 1, 0), 1);
        assert_true(p.revents & POLLIN);
        left -= (size_t)recv(pair[0], buf, sizeof(buf), 0);
    }
    struct pollfd p = { .fd = pair[0], .events = POLLIN };
    assert_false(io_shim_pending());
    assert_int_equal(poll(&p, 1, 0), 0);
}

/* A client that sends without an end still gets its answers, and so does the broker's descriptor beside it. */
static void the_kernel_is_asked_now_and_then_while_much_comes_in(void **state)
{
    char byte;
    int other[2];
    bool can_write = false, other_heard = false;
    (void)state;

    assert_int_equal(socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, other), 0);
    assert_int_equal(write(other[1], "", 1), 1);
    arrive(4096);
    assert_int_equal(recv(pair[0], &byte, 1, 0), 1);
    for (int i = 0; i < POLLS_MAX; i++) {
        struct pollfd p[2] = { { .fd = other[0], .events = POLLIN }, { .fd = pair[0], .events = POLLIN | POLLOUT } };
        assert_true(poll(p, 2, 0) >= 1);
        assert_true(p[1].revents & POLLIN);
        can_write = can_write || p[1].revents & POLLOUT;
        other_heard = other_heard || p[0].revents & POLLIN;
    }
    assert_true(can_write);
    assert_true(other_heard);
    fd_close(&other[0]);
    fd_close(&other[1]);
}

static void a_full_socket_takes_nothing_and_is_no_error(void **state)
{
    static char bytes[65536];
    ssize_t n = 1;
    (void)state;

    for (int i = 0; i < POLLS_MAX && n > 0; i++)
        n = send(pair[0], bytes, sizeof(bytes), 0);
    assert_int_equal(n, 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(bytes_in_hand_are_readable_without_the_kernel, setup, teardown),
        cmocka_unit_test_setup_teardown(the_kernel_is_asked_now_and_then_while_much_comes_in, setup, teardown),
        cmocka_unit_test_setup_teardown(a_full_socket_takes_nothing_and_is_no_error, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
