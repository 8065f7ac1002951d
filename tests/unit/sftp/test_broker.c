/* A session in a stranger's hands: here it is a child process that does what it likes with its end of the socket. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>

#include <signal.h>
#include <stdlib.h>
#include <string.h>
#include <sys/epoll.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/syscall.h>
#include <sys/wait.h>
#include <unistd.h>

#include <cmocka.h>

#include "sftp/broker.h"

enum { ALARM_S = 20, USER = 7, QUESTIONS_MAX = 100000 };

struct bed {
    struct sftpd s;
    struct connections table;
    struct session *session; /* in the list; freed by the broker */
    struct connection *record;
    pid_t pid;
    int peer; /* the session's end */
};

static int setup(void **state)
{
    struct connection_facts f = { .username = "u", .user_id = USER };
    struct bed *b = calloc(1, sizeof(*b));
    struct session *n = calloc(1, sizeof(*n));
    int pair[2];

    assert_true(b && n);
    assert_int_equal(connections_create(&b->table), 0);
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    mutex_init(&b->s.lock, RANK_CONNECTIONS);
    b->s.o.connections = &b->table;
    b->s.epoll = epoll_create1(EPOLL_CLOEXEC);
    b->peer = pair[1];
    b->pid = fork();
    if (b->pid == 0) {
        prctl(PR_SET_PDEATHSIG, SIGKILL);
        close(pair[0]);
        close(pair[1]); /* all that it ever does */
        for (;;)
            pause();
    }
    b->record = connection_claim(&b->table);
    connection_publish(b->record, &f);
    *n = (struct session){ .watched = { .kind = WATCH_SESSION, .fd = pair[0] },
                           .link = &b->s.sessions,
                           .pidfd = (int)syscall(SYS_pidfd_open, b->pid, 0),
                           .record = b->record,
                           .connection_id = "SFTP_1_1",
                           .user_id = USER,
                           .tried = true,
                           .logged_in = true };
    assert_true(b->pid > 0 && n->pidfd >= 0);
    b->s.sessions = b->session = n;
    assert_int_equal(broker_watch(&b->s, &n->watched, false), 0);
    alarm(ALARM_S); /* a broker that waits for ever is an end, too */
    *state = b;
    return 0;
}

static int teardown(void **state)
{
    struct bed *b = *state;

    alarm(0);
    if (b->s.sessions)
        session_end_wait(&b->s, b->s.sessions);
    kill(b->pid, SIGKILL);
    waitpid(b->pid, NULL, 0);
    fd_close(&b->peer);
    fd_close(&b->s.epoll);
    connections_detach(&b->table);
    mutex_done(&b->s.lock);
    free(b);
    return 0;
}

static void ask_to_sign(int fd)
{
    struct queue q = QUEUE(4096);

    packet_put_u8(&q, SAY_SIGN);
    packet_put_u32(&q, 0);
    packet_put_text(&q, "");
    packet_put_bytes(&q, "01234567890123456789", 20);
    assert_int_equal(broker_send(fd, &q, NULL, 0), 0);
    queue_done(&q);
}

/* Asks and never reads: true, if the broker has had enough. */
static bool flood(struct bed *b)
{
    for (int i = 0; i < QUESTIONS_MAX; i++) {
        ask_to_sign(b->peer);
        if (!session_serve(&b->s, b->session))
            return true;
    }
    return false;
}

static void assert_killed(struct bed *b)
{
    int status = 0;

    assert_int_equal(waitpid(b->pid, &status, 0), b->pid);
    assert_true(WIFSIGNALED(status) && WTERMSIG(status) == SIGKILL);
}

static void no_worker_waits_for_one_that_does_not_read(void **state)
{
    assert_true(flood(*state));
}

static void one_that_does_not_read_is_closed_by_force(void **state)
{
    struct bed *b = *state;

    assert_true(flood(b));
    sftpd_close_user(&b->s, USER);
    assert_killed(b);
}

static void a_request_to_close_is_not_put_off_by_the_next(void **state)
{
    struct bed *b = *state;

    assert_int_equal(sftpd_close_connection(&b->s, "SFTP_1_1"), 0);
    uint64_t deadline_ns = b->session->deadline_ns;
    assert_true(deadline_ns > 0);
    assert_int_equal(sftpd_close_connection(&b->s, "SFTP_1_1"), 0);
    assert_true(b->session->deadline_ns == deadline_ns);
}

static void who_gives_up_the_socket_is_killed_and_counted_until_then(void **state)
{
    struct bed *b = *state;
    struct epoll_event e;

    fd_close(&b->peer);
    assert_int_equal(epoll_wait(b->s.epoll, &e, 1, -1), 1);
    assert_false(session_serve(&b->s, b->session));
    session_end(&b->s, b->session);

    /* its process may live, so nobody else gets the record, and it is counted */
    assert_ptr_equal(b->s.sessions, b->session);
    assert_int_equal(connections_count(&b->table, USER), 1);
    sftpd_close_user(&b->s, USER); /* does no harm */

    assert_int_equal(epoll_wait(b->s.epoll, &e, 1, -1), 1);
    assert_ptr_equal(e.data.ptr, b->session);
    assert_true(b->session->ending);
    assert_killed(b);
    session_gone(&b->s, b->session);
    assert_null(b->s.sessions);
    assert_int_equal(connections_count(&b->table, 0), 0);
    assert_ptr_equal(connection_claim(&b->table), b->record);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(no_worker_waits_for_one_that_does_not_read, setup, teardown),
        cmocka_unit_test_setup_teardown(one_that_does_not_read_is_closed_by_force, setup, teardown),
        cmocka_unit_test_setup_teardown(a_request_to_close_is_not_put_off_by_the_next, setup, teardown),
        cmocka_unit_test_setup_teardown(who_gives_up_the_socket_is_killed_and_counted_until_then, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
