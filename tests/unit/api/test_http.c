/* The transport with handlers of the test: deadlines, parked requests, limits. Real sockets, short times. */
#include <arpa/inet.h>
#include <poll.h>
#include <semaphore.h>
#include <stdlib.h>
#include <sys/socket.h>
#include <unistd.h>

#include "api/http.h"
#include "api/pool.h"
#include "api/reply.h"
#include "base/log.h"
#include "base/sys.h"
#include "tests/unit/api/row.h"

enum { SHORT_MS = 200, LONG_MS = 20000 };

struct bed {
    struct http *t;
    struct pool *pool;
    int fd;
    in_port_t port;
};

static struct bed *the_bed; /* the callbacks have no other way to it */
static int park_result;

static void begin(struct http_request *rq)
{
    if (strcmp(rq->target, "/refused") == 0)
        IGNORE(reply_refuse(rq, 401, SAYS_MESSAGE, "no"), "REPLIED");
}

static enum served serve(struct http_request *rq)
{
    if (rq->parked)
        return SERVED;
    if (strcmp(rq->target, "/parked") == 0)
        return WANTS_WORKER;
    IGNORE(reply_refuse(rq, 200, SAYS_MESSAGE, "%zu", rq->body.len), "REPLIED");
    return SERVED;
}

static void work(void *arg)
{
    struct http_request *rq = arg;

    IGNORE(reply_refuse(rq, 200, SAYS_MESSAGE, "worked"), "REPLIED");
    http_resume(rq);
}

static int park(struct http_request *rq)
{
    return park_result < 0 ? park_result : pool_submit(the_bed->pool, work, rq);
}

static int bed_open(void **state, struct http_limits limits)
{
    struct bed *b = calloc(1, sizeof(*b));
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof(in);

    assert_non_null(b);
    the_bed = b;
    park_result = 0;
    b->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(b->fd, (const void *)&in, sizeof(in)), 0);
    assert_int_equal(listen(b->fd, 64), 0);
    assert_int_equal(getsockname(b->fd, (void *)&in, &len), 0);
    b->port = in.sin_port;
    assert_int_equal(pool_start(2, 64, &b->pool), 0);
    const struct listener l = { .fd = b->fd, .kind = LISTEN_API };
    const struct http_options o = {
        .listeners = &l,
        .listeners_n = 1,
        .limits = limits,
        .begin = begin,
        .serve = serve,
        .park = park,
    };
    assert_int_equal(http_start(&o, &b->t), 0);
    *state = b;
    return 0;
}

static int patient(void **state)
{
    return bed_open(state, (struct http_limits){ LONG_MS, LONG_MS, LONG_MS });
}

static int hasty(void **state)
{
    return bed_open(state, (struct http_limits){ SHORT_MS, SHORT_MS, SHORT_MS });
}

static int bed_close(void **state)
{
    struct bed *b = *state;

    pool_close(b->pool);
    http_stop(b->t);
    pool_stop(b->pool);
    close(b->fd);
    free(b);
    return 0;
}

static int dial(const struct bed *b)
{
    struct sockaddr_in in = { .sin_family = AF_INET, .sin_port = b->port, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    int fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);

    assert_int_equal(connect(fd, (const void *)&in, sizeof(in)), 0);
    return fd;
}

static void say(int fd, const char *text)
{
    IGNORE(send(fd, text, strlen(text), MSG_NOSIGNAL), "the other end may be gone: then the reply tells");
}

/* Reads until `wanted` is there, or the end, or 10 s. Returns true if it is there. */
static bool hear(int fd, const char *wanted, char *to, size_t room)
{
    size_t n = 0;
    struct pollfd p = { .fd = fd, .events = POLLIN };

    to[0] = '\0';
    while (n + 1 < room && (wanted == NULL || strstr(to, wanted) == NULL)) {
        if (poll(&p, 1, 10000) <= 0)
            return false;
        ssize_t got = recv(fd, to + n, room - n - 1, 0);
        if (got <= 0)
            return wanted == NULL;
        n += (size_t)got;
        to[n] = '\0';
    }
    return wanted != NULL;
}

static void requests_are_answered_and_bodies_arrive(void **state)
{
    char text[4096];
    int fd = dial(*state);

    say(fd, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(hear(fd, "{\"message\":\"0\"}", text, sizeof(text)));
    say(fd, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12");
    say(fd, "345");
    assert_true(hear(fd, "{\"message\":\"5\"}", text, sizeof(text)));
    say(fd, "POST /refused HTTP/1.1\r\nHost: x\r\nContent-Length: 5\r\n\r\n12345");
    assert_true(hear(fd, "401", text, sizeof(text)));
    say(fd, "GET /x HTTP/1.1\r\nHost: x\r\n\r\n"); /* and the connection goes on */
    assert_true(hear(fd, "{\"message\":\"0\"}", text, sizeof(text)));
    close(fd);
}

static void parked_requests_come_back_in_any_number(void **state)
{
    enum { MANY = 40 };
    char text[4096];
    int fds[MANY];

    for (int i = 0; i < MANY; i++) {
        fds[i] = dial(*state);
        say(fds[i], "GET /parked HTTP/1.1\r\nHost: x\r\n\r\n");
    }
    for (int i = 0; i < MANY; i++) {
        assert_true(hear(fds[i], "worked", text, sizeof(text)));
        close(fds[i]);
    }
}

static void a_full_pool_is_503_with_retry_after(void **state)
{
    char text[4096];
    int fd = dial(*state);

    park_result = -EAGAIN;
    say(fd, "GET /parked HTTP/1.1\r\nHost: x\r\n\r\n");
    assert_true(hear(fd, "\r\n\r\n", text, sizeof(text)));
    assert_non_null(strstr(text, "HTTP/1.1 503 "));
    assert_non_null(strstr(text, "Retry-After: 1"));
    close(fd);
}

static const char *const slow_ones[] = {
    "",                                                              /* says nothing */
    "GET /x HTTP/1.1\r\nX-A: ",                                      /* never ends its head */
    "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 100000\r\n\r\n", /* never ends its body */
};

/* A byte every 20 ms would keep any idle timeout away. */
static void a_trickle_does_not_hold_a_connection(void **state)
{
    char text[4096];

    for (size_t i = 0; i < ARRAY_SIZE(slow_ones); i++) {
        int fd = dial(*state);
        struct pollfd p = { .fd = fd, .events = POLLIN };
        uint64_t begun = sys->now_ns();
        say(fd, slow_ones[i]);
        while (poll(&p, 1, 20) == 0 && sys->now_ns() - begun < UINT64_C(10000000000))
            if (slow_ones[i][0] != '\0')
                say(fd, "x");
        row_equal(slow_ones[i], sys->now_ns() - begun >= (SHORT_MS - 1) * UINT64_C(1000000), true);
        row_equal(slow_ones[i], sys->now_ns() - begun < UINT64_C(5000000000), true);
        row_equal(slow_ones[i], hear(fd, NULL, text, sizeof(text)), true);
        close(fd);
    }
}

static void a_chunked_body_above_the_limit_is_413_and_an_endless_one_is_cut(void **state)
{
    char *chunk = malloc(65536 + 16), text[4096];
    int fd = dial(*state);

    assert_non_null(chunk);
    memcpy(chunk, "10000\r\n", 7);
    memset(chunk + 7, 'x', 65536);
    memcpy(chunk + 7 + 65536, "\r\n", 3);
    say(fd, "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < 17; i++)
        say(fd, chunk);
    say(fd, "0\r\n\r\n");
    assert_true(hear(fd, "HTTP/1.1 413", text, sizeof(text)));
    close(fd);

    fd = dial(*state);
    say(fd, "POST /x HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n");
    for (int i = 0; i < HTTP_DISCARD_MAX / 65536 + 64; i++)
        say(fd, chunk);
    assert_true(hear(fd, NULL, text, sizeof(text)));
    assert_null(strstr(text, "200"));
    close(fd);
    free(chunk);
}

static void what_is_being_answered_is_counted(void **state)
{
    struct bed *b = *state;
    char text[4096];
    int fd = dial(b);

    say(fd, "POST /x HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nExpect: 100-continue\r\n\r\n");
    assert_true(hear(fd, "100", text, sizeof(text))); /* the head is there */
    assert_int_equal(http_in_flight(b->t, "127.0.0.1"), 1);
    assert_int_equal(http_in_flight(b->t, NULL), 1);
    assert_int_equal(http_in_flight(b->t, "127.0.0.2"), 0);
    say(fd, "x");
    assert_true(hear(fd, "{\"message\":\"1\"}", text, sizeof(text)));
    close(fd);
    uint64_t begun = sys->now_ns();
    while (http_in_flight(b->t, NULL) != 0)
        assert_true(sys->now_ns() - begun < UINT64_C(10000000000));
}

static void log_nothing(const char *line, size_t len)
{
    (void)line;
    (void)len;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(requests_are_answered_and_bodies_arrive, patient, bed_close),
        cmocka_unit_test_setup_teardown(parked_requests_come_back_in_any_number, patient, bed_close),
        cmocka_unit_test_setup_teardown(a_full_pool_is_503_with_retry_after, patient, bed_close),
        cmocka_unit_test_setup_teardown(a_trickle_does_not_hold_a_connection, hasty, bed_close),
        cmocka_unit_test_setup_teardown(a_chunked_body_above_the_limit_is_413_and_an_endless_one_is_cut, patient,
                                        bed_close),
        cmocka_unit_test_setup_teardown(what_is_being_answered_is_counted, patient, bed_close),
    };
    log_sink(log_nothing);
    return cmocka_run_group_tests(tests, NULL, NULL);
}
