/* Hooks, with real programs (shell scripts in a directory of their own) and a real HTTP server (a thread). */
#include "base/hook.h"

#include <setjmp.h>
#include <stdarg.h>
#include <stdlib.h>
#include <string.h>

#include <arpa/inet.h>
#include <pthread.h>
#include <signal.h>
#include <stdio.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/sys.h"
#include "tests/unit/base/row.h"

static char dir[] = "/tmp/tally-hook-XXXXXX";

static const char *script(const char *name, const char *text)
{
    static char path[128];
    FILE *f;

    snprintf(path, sizeof path, "%s/%s", dir, name);
    f = fopen(path, "we");
    assert_non_null(f);
    fprintf(f, "#!/bin/sh\n%s\n", text);
    assert_int_equal(fclose(f), 0);
    assert_int_equal(chmod(path, 0755), 0);
    return path;
}

static const struct hook_value told[] = { { "HOOK_NAME", "name", "a b&c" }, { "HOOK_ONLY", NULL, "env" } };

static const struct {
    const char *name, *script, *input, *text;
    int r, status;
    unsigned timeout_ms;
} programs[] = {
    { "its output is the answer", "echo hello", NULL, "hello\n", 0, 0, 20000 },
    { "its exit status is kept", "exit 3", NULL, "", 0, 3, 20000 },
    { "a death by signal is 128 and more", "kill -9 $$", NULL, "", 0, 137, 20000 },
    { "it is told by variables", "echo \"$HOOK_NAME,$HOOK_ONLY\"", NULL, "a b&c,env\n", 0, 0, 20000 },
    { "it gets no variable of ours", "echo \"[$TALLY_SECRET]\"", NULL, "[]\n", 0, 0, 20000 },
    { "it reads its input to the end", "cat", "line\nno end", "line\nno end", 0, 0, 20000 },
    { "it may leave its input unread", "exit 0", "never read", "", 0, 0, 20000 },
    { "without input it reads nothing", "cat; pwd", NULL, "/\n", 0, 0, 20000 },
    { "it has no descriptor of ours", "ls /proc/self/fd | wc -l", NULL, "4\n", 0, 0, 20000 },
    { "one that hangs is ended", "sleep 100", NULL, NULL, -ETIMEDOUT, 0, 50 },
    { "a grandchild does not keep it", "sleep 12 2>/dev/null & exit 0", NULL, "", 0, 0, 10000 },
    { "a flood is cut", "yes", NULL, NULL, -E2BIG, 0, 20000 },
};

static void a_program_is_told_answers_and_is_ended_in_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(programs); i++) {
        struct hook_answer a = { 0 };
        const struct hook_request q = { .hook = script("hook", programs[i].script),
                                        .values = told,
                                        .values_n = ARRAY_SIZE(told),
                                        .input = programs[i].input,
                                        .timeout_ms = programs[i].timeout_ms };
        row_equal(programs[i].name, hook_run(&q, &a), programs[i].r);
        row_equal(programs[i].name, a.status, programs[i].status);
        if (programs[i].text)
            row_same(programs[i].name, a.text, programs[i].text);
        row_equal(programs[i].name, hook_accepted(&q, &a), programs[i].r < 0 || programs[i].status == 0);
        hook_answer_done(&a);
    }
}

static void what_cannot_be_executed_is_an_error_not_a_status(void **state)
{
    struct hook_answer a = { 0 };
    char path[128];

    (void)state;
    snprintf(path, sizeof path, "%s/none", dir);
    assert_int_equal(hook_run(&(struct hook_request){ .hook = path, .timeout_ms = 5000 }, &a), -ENOENT);
    assert_int_equal(chmod(script("dull", "exit 0"), 0644), 0);
    snprintf(path, sizeof path, "%s/dull", dir);
    assert_int_equal(hook_run(&(struct hook_request){ .hook = path, .timeout_ms = 5000 }, &a), -EACCES);
    assert_int_equal(hook_run(&(struct hook_request){ .hook = "relative", .timeout_ms = 5000 }, &a), -EINVAL);
    assert_null(a.text);
}

static void what_a_timed_out_program_has_started_ends_with_it(void **state)
{
    struct hook_answer a = { 0 };
    char left[128];
    struct stat st;

    (void)state;
    snprintf(left, sizeof left, "%s/pid", dir);
    const struct hook_value v[] = { { "LEFT", NULL, left } };
    assert_int_equal(hook_run(&(struct hook_request){ .hook = script("group", "sleep 60 & echo $! >$LEFT; wait"),
                                                      .values = v,
                                                      .values_n = 1,
                                                      .timeout_ms = 1000 },
                              &a),
                     -ETIMEDOUT);
    assert_int_equal(stat(left, &st), 0);
    FILE *f = fopen(left, "re");
    int pid = 0;
    assert_int_equal(fscanf(f, "%d", &pid), 1);
    assert_int_equal(fclose(f), 0);
    char state_of[64], line[256] = "";
    snprintf(state_of, sizeof state_of, "/proc/%d/stat", pid);
    for (int i = 0; i < 2000; i++) { /* it is a zombie of init's, or gone */
        f = fopen(state_of, "re");
        if (!f)
            return;
        IGNORE(fgets(line, sizeof line, f), "an empty line is looked at, too");
        fclose(f);
        if (strstr(line, ") Z ") || !line[0])
            return;
        usleep(5000);
    }
    fail_msg("a grandchild outlives the time limit: %s", line);
}

static void a_program_runs_with_the_ids_it_is_given(void **state)
{
    struct hook_answer a = { 0 };

    (void)state;
    if (geteuid() != 0)
        skip();
    assert_int_equal(chmod(dir, 0755), 0);
    const struct hook_request q = {
        .hook = script("ids", "id -u; id -g; id -G"), .timeout_ms = 20000, .uid = 12345, .gid = 12346
    };
    assert_int_equal(hook_run(&q, &a), 0);
    assert_string_equal(a.text, "12345\n12346\n12346\n");
    hook_answer_done(&a);
}

/* ---- HTTP ---- */

struct server {
    int fd;
    const char *answer;
    bool hangs;
    char got[8192];
    pthread_t thread;
};

static void *serve(void *arg)
{
    struct server *s = arg;
    int c = accept(s->fd, NULL, NULL);
    size_t n = 0;
    ssize_t k;

    while (n < sizeof(s->got) - 1 && (k = read(c, s->got + n, sizeof(s->got) - 1 - n)) > 0) {
        n += (size_t)k;
        s->got[n] = '\0';
        const char *end = strstr(s->got, "\r\n\r\n");
        const char *length = strstr(s->got, "Content-Length: ");
        int64_t want = 0;
        char digits[16] = "";
        if (length)
            sscanf(length + 16, "%15[0-9]", digits);
        IGNORE(str_int(digits, 0, 8000, &want), "none is 0");
        if (end && strlen(end + 4) >= (size_t)want)
            break;
    }
    if (s->hangs)
        IGNORE(read(c, s->got, 1), "until the client goes");
    else
        IGNORE(write(c, s->answer, strlen(s->answer)), "the client complains");
    close(c);
    return NULL;
}

static void server_start(struct server *s, char *url, size_t room)
{
    struct sockaddr_in a = { .sin_family = AF_INET, .sin_addr.s_addr = htonl(INADDR_LOOPBACK) };
    socklen_t len = sizeof a;

    s->fd = socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0);
    assert_int_equal(bind(s->fd, (struct sockaddr *)&a, sizeof a), 0);
    assert_int_equal(listen(s->fd, 4), 0);
    assert_int_equal(getsockname(s->fd, (struct sockaddr *)&a, &len), 0);
    snprintf(url, room, "http://127.0.0.1:%u/hook", ntohs(a.sin_port));
    assert_int_equal(pthread_create(&s->thread, NULL, serve, s), 0);
}

static void server_stop(struct server *s)
{
    pthread_join(s->thread, NULL);
    close(s->fd);
}

#define ANSWER(status, length, text) "HTTP/1.1 " status "\r\nContent-Length: " length "\r\n\r\n" text

static const struct {
    const char *name, *answer, *body, *seen, *text;
    int r, status;
    unsigned timeout_ms;
} pages[] = {
    { "a GET has the values in its query", ANSWER("200 OK", "2", "hi"), NULL, "GET /hook?name=a%20b%26c HTTP/1.1", "hi",
      0, 200, 20000 },
    { "a body is posted", ANSWER("200 OK", "0", ""), "{\"x\":1}", "\r\n\r\n{\"x\":1}", "", 0, 200, 20000 },
    { "a body is JSON", ANSWER("200 OK", "0", ""), "{}", "Content-Type: application/json\r\n", "", 0, 200, 20000 },
    { "a status is kept", ANSWER("403 No", "0", ""), NULL, "GET", "", 0, 403, 20000 },
    { "a redirect is not followed", "HTTP/1.1 302 Go\r\nLocation: http://127.0.0.1:1/\r\nContent-Length: 0\r\n\r\n",
      NULL, "GET", "", 0, 302, 20000 },
    { "an answer that is announced too large is refused", ANSWER("200 OK", "2000000", ""), NULL, "GET", NULL, -E2BIG, 0,
      20000 },
    { "what is no HTTP is an error", "nonsense", NULL, "GET", NULL, -EHOSTUNREACH, 0, 20000 },
    { "a server that hangs is given up", NULL, NULL, "", NULL, -ETIMEDOUT, 0, 100 },
};

static void a_url_is_asked_and_answers_in_time(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(pages); i++) {
        struct server s = { .answer = pages[i].answer, .hangs = !pages[i].answer };
        struct hook_answer a = { 0 };
        char url[64];
        server_start(&s, url, sizeof url);
        const struct hook_request q = { .hook = url,
                                        .values = told,
                                        .values_n = ARRAY_SIZE(told),
                                        .body = pages[i].body,
                                        .timeout_ms = pages[i].timeout_ms };
        row_equal(pages[i].name, hook_run(&q, &a), pages[i].r);
        server_stop(&s);
        row_equal(pages[i].name, a.status, pages[i].status);
        row_contains(pages[i].name, s.got, pages[i].seen);
        if (pages[i].text)
            row_same(pages[i].name, a.text, pages[i].text);
        if (pages[i].r == 0)
            row_equal(pages[i].name, hook_accepted(&q, &a), pages[i].status == 200);
        hook_answer_done(&a);
    }
    struct hook_answer a = { 0 };
    assert_int_equal(hook_run(&(struct hook_request){ .hook = "http://127.0.0.1:1/", .timeout_ms = 20000 }, &a),
                     -EHOSTUNREACH);
}

/* ---- later ---- */

static void what_is_for_later_runs_and_copies_what_it_is_told(void **state)
{
    struct hook_queue *queue;
    char path[128], value[] = "first";
    struct stat st;

    (void)state;
    snprintf(path, sizeof path, "%s/later-first", dir);
    assert_int_equal(hook_queue_new(2, &queue), 0);
    char hook[128];
    str_set(hook, sizeof hook, script("later", "touch \"$(dirname $0)/later-$WHAT\""));
    const struct hook_value v[] = { { "WHAT", NULL, value } };
    assert_int_equal(
        hook_later(queue, &(struct hook_request){ .hook = hook, .values = v, .values_n = 1, .timeout_ms = 9000 }), 0);
    memset(value, 'x', sizeof value - 1);
    memset(hook, 'y', sizeof hook - 1);
    uint64_t end = sys->now_ns() + UINT64_C(20000000000);
    while (stat(path, &st) < 0 && sys->now_ns() < end)
        usleep(1000);
    assert_int_equal(stat(path, &st), 0);
    hook_queue_free(queue);
}

static void a_full_queue_refuses_and_a_stop_does_not_wait_for_it(void **state)
{
    struct hook_queue *queue;
    int r = 0, taken = 0;
    char hook[128];

    (void)state;
    str_set(hook, sizeof hook, script("slow", "sleep 1"));
    assert_int_equal(hook_queue_new(1, &queue), 0);
    while (taken <= HOOK_WAITING_MAX + 1 &&
           (r = hook_later(queue, &(struct hook_request){ .hook = hook, .timeout_ms = 200 })) == 0)
        taken++;
    assert_int_equal(r, -EAGAIN);
    assert_in_range(taken, HOOK_WAITING_MAX, HOOK_WAITING_MAX + 1);
    hook_queue_free(queue);
}

static void only_absolute_paths_and_http_urls_are_hooks(void **state)
{
    static const struct {
        const char *hook;
        bool is_valid;
    } rows[] = {
        { "/usr/bin/hook", true },
        { "http://h/x", true },
        { "https://h", true },
        { "", false },
        { "/", false },
        { "hook", false },
        { "file:///x", false },
        { "http://", false },
        { "ftp://h", false },
        { "~/x", false },
    };
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        row_equal(rows[i].hook, hook_is_valid(rows[i].hook), rows[i].is_valid);
}

static int make_dir(void **state)
{
    (void)state;
    signal(SIGPIPE, SIG_IGN); /* as in every role */
    setenv("TALLY_SECRET", "secret", 1);
    setenv("no_proxy", "127.0.0.1", 1);
    return mkdtemp(dir) ? 0 : -1;
}

static int remove_dir(void **state)
{
    static const char *const names[] = { "hook", "dull", "group", "ids", "pid", "later", "later-first", "slow" };
    char path[128];

    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(names); i++) {
        snprintf(path, sizeof path, "%s/%s", dir, names[i]);
        unlink(path);
    }
    return rmdir(dir);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_program_is_told_answers_and_is_ended_in_time),
        cmocka_unit_test(what_cannot_be_executed_is_an_error_not_a_status),
        cmocka_unit_test(what_a_timed_out_program_has_started_ends_with_it),
        cmocka_unit_test(a_program_runs_with_the_ids_it_is_given),
        cmocka_unit_test(a_url_is_asked_and_answers_in_time),
        cmocka_unit_test(what_is_for_later_runs_and_copies_what_it_is_told),
        cmocka_unit_test(a_full_queue_refuses_and_a_stop_does_not_wait_for_it),
        cmocka_unit_test(only_absolute_paths_and_http_urls_are_hooks),
    };
    return cmocka_run_group_tests(tests, make_dir, remove_dir);
}
