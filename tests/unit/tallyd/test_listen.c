#include "tallyd/listen.h"

#include <netinet/in.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

static uint32_t port_of(int fd)
{
    struct sockaddr_in a;
    socklen_t len = sizeof a;

    assert_int_equal(getsockname(fd, (struct sockaddr *)&a, &len), 0);
    return ntohs(a.sin_port);
}

static void a_taken_port_is_refused_with_what_to_do(void **state)
{
    struct why why;
    int fd;
    int second;

    (void)state;
    assert_int_equal(listen_tcp("127.0.0.1", 0, "x", &fd, &why), 0);
    assert_int_equal(listen_tcp("127.0.0.1", port_of(fd), "sftpd.bindings[0]", &second, &why), -EADDRINUSE);
    assert_string_equal(why.field, "sftpd.bindings[0]");
    assert_non_null(strstr(why.text, "is taken by another program"));
    close(fd);
}

static void only_addresses_are_addresses(void **state)
{
    static const char *const bad[] = { "localhost", "1.2.3", "1.2.3.4.5", "::g", "*" };
    struct why why;
    int fd;

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++)
        assert_int_equal(listen_tcp(bad[i], 0, "x", &fd, &why), -EINVAL);
}

static void a_dead_socket_file_is_replaced_and_a_live_one_is_not(void **state)
{
    char dir[] = "/tmp/listenXXXXXX";
    char path[64];
    struct why why;
    int fd;
    int second;

    (void)state;
    assert_non_null(mkdtemp(dir));
    snprintf(path, sizeof path, "%s/s", dir);
    assert_int_equal(listen_unix(path, getgid(), "x", &fd, &why), 0);
    assert_int_equal(listen_unix(path, getgid(), "x", &second, &why), -EADDRINUSE);
    close(fd);
    assert_int_equal(listen_unix(path, getgid(), "x", &fd, &why), 0);
    close(fd);
    unlink(path);
    rmdir(dir);
}

static void a_path_that_is_too_long_is_refused(void **state)
{
    char path[200];
    struct why why;
    int fd;

    (void)state;
    memset(path, 'x', sizeof path);
    path[0] = '/';
    path[sizeof path - 1] = '\0';
    assert_int_equal(listen_unix(path, 0, "x", &fd, &why), -ENAMETOOLONG);
}

static void a_file_that_is_no_socket_is_left_alone(void **state)
{
    char path[] = "/tmp/listen-file-XXXXXX";
    int file = mkstemp(path);
    struct why why;
    int fd;

    (void)state;
    assert_int_equal(write(file, "theirs", 6), 6);
    assert_int_equal(listen_unix(path, getgid(), "httpd.bindings[0]", &fd, &why), -EEXIST);
    assert_non_null(strstr(why.text, path));
    assert_int_equal(lseek(file, 0, SEEK_END), 6);
    assert_int_equal(access(path, F_OK), 0);
    close(file);
    unlink(path);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_taken_port_is_refused_with_what_to_do),
        cmocka_unit_test(only_addresses_are_addresses),
        cmocka_unit_test(a_dead_socket_file_is_replaced_and_a_live_one_is_not),
        cmocka_unit_test(a_file_that_is_no_socket_is_left_alone),
        cmocka_unit_test(a_path_that_is_too_long_is_refused),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
