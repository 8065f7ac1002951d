/* Control messages, the connection table, the usage map and role descriptors: what processes share. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <unistd.h>

#include <cmocka.h>

#include "base/connections.h"
#include "base/control.h"
#include "base/role.h"
#include "base/usage.h"

/* ---- control: two ends, one of which plays supervisor and service ---- */

static void answers(void *arg, struct control *c, const struct control_message *m)
{
    (void)arg;
    if (m->id != 0 && strcmp(m->name, "silent") != 0)
        control_answer(c, "asker", m->id, -EALREADY, control_args("echo", 's', json_text(m->args, "word"), NULL));
}

static void nothing(void *arg, struct control *c, const struct control_message *m)
{
    (void)arg;
    (void)c;
    (void)m;
}

static void note_loss(void *arg)
{
    *(_Atomic int *)arg = 1;
}

struct ends {
    struct control *asker, *other;
    _Atomic int lost;
};

static void ends_open(struct ends *e)
{
    int pair[2];

    e->lost = 0;
    assert_int_equal(socketpair(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0, pair), 0);
    assert_int_equal(control_start(pair[0], nothing, note_loss, &e->lost, &e->asker), 0);
    assert_int_equal(control_start(pair[1], answers, note_loss, &e->lost, &e->other), 0);
}

static void a_question_gets_its_own_answer(void **state)
{
    struct ends e;
    struct json_object *args = NULL;

    (void)state;
    ends_open(&e);
    assert_int_equal(control_ask(e.asker, "other", "q", control_args("word", 's', "hi", NULL), 5000, &args), -EALREADY);
    assert_string_equal(json_text(args, "echo"), "hi");
    json_object_put(args);
    assert_int_equal(control_ask(e.asker, "other", "silent", NULL, 20, NULL), -ETIMEDOUT);
    control_stop(e.other);
    assert_int_equal(control_ask(e.asker, "other", "q", NULL, 5000, &args), -EPIPE);
    assert_null(args);
    control_stop(e.asker);
}

static void a_message_over_the_limit_is_refused_before_it_is_sent(void **state)
{
    struct ends e;
    char *word = malloc(CONTROL_MAX + 1);

    (void)state;
    ends_open(&e);
    memset(word, 'x', CONTROL_MAX);
    word[CONTROL_MAX] = '\0';
    assert_int_equal(control_tell(e.asker, "other", "e", control_args("word", 's', word, NULL)), -E2BIG);
    free(word);
    control_stop(e.asker);
    control_stop(e.other);
}

/* ---- the connection table ---- */

static void a_record_shows_what_its_owner_published(void **state)
{
    struct connections t;
    struct connections reader;
    struct connection_facts f = { .username = "u", .protocol = "SFTP", .user_id = 7, .connect_ms = 5 };
    struct connection_facts got;
    int64_t active;

    (void)state;
    assert_int_equal(connections_create(&t), 0);
    assert_int_equal(connections_attach(dup(t.fd), false, &reader), 0);
    struct connection *r = connection_claim(&t);
    assert_non_null(r);
    assert_false(connection_read(&reader.v[0], &got, &active)); /* claimed is not live */
    connection_publish(r, &f);
    int transfer = connection_transfer_begin(r, true, "/f", 10, 6);
    connection_transfer_moved(r, transfer, 5);
    assert_true(connection_read(&reader.v[0], &got, &active));
    assert_string_equal(got.username, "u");
    assert_int_equal(got.transfers[transfer].bytes, 15);
    assert_int_equal(connections_count(&reader, 7), 1);
    assert_int_equal(connections_count(&reader, 8), 0);
    connection_transfer_end(r, transfer);
    connection_free(r);
    assert_false(connection_read(&reader.v[0], &got, &active));
    connections_detach(&reader);
    connections_detach(&t);
}

static void the_table_ends_at_its_last_record(void **state)
{
    struct connections t;

    (void)state;
    assert_int_equal(connections_create(&t), 0);
    for (int i = 0; i < CONNECTIONS_MAX; i++)
        assert_non_null(connection_claim(&t));
    assert_null(connection_claim(&t));
    connection_free(&t.v[17]);
    assert_ptr_equal(connection_claim(&t), &t.v[17]);
    connections_detach(&t);
}

static void transfers_beyond_the_last_are_not_shown_and_do_no_harm(void **state)
{
    struct connections t;

    (void)state;
    assert_int_equal(connections_create(&t), 0);
    struct connection *r = connection_claim(&t);
    for (int i = 0; i < TRANSFERS_MAX; i++)
        assert_int_equal(connection_transfer_begin(r, false, "/f", 0, 1), i);
    int none = connection_transfer_begin(r, false, "/f", 0, 1);
    assert_int_equal(none, -1);
    connection_transfer_moved(r, none, 5);
    connection_transfer_end(r, none);
    connections_detach(&t);
}

static void a_session_keeps_only_its_own_record(void **state)
{
    struct connections t;

    (void)state;
    assert_int_equal(connections_create(&t), 0);
    IGNORE(connection_claim(&t), "the first is somebody else's");
    struct connection *own = connection_claim(&t);
    struct connection *first = t.v;
    assert_int_equal(connections_keep_only(&t, own), 0);
    connection_touch(own, 5); /* still mapped */
    connection_show(own, "SCP", "scp -t /");
    connection_transfer_end(own, connection_transfer_begin(own, true, "/f", 0, 6));
    assert_int_equal(t.fd, -1);
    /* Who it is, it cannot write: that part, anybody's, is not mapped. */
    for (size_t i = 0; i < CONNECTIONS_MAX; i++) {
        assert_int_equal(msync(first + i, sizeof *first, MS_ASYNC), -1);
        assert_int_equal(errno, ENOMEM);
    }
}

static void a_session_that_lies_hides_nothing_but_its_transfers(void **state)
{
    struct connections t;
    struct connection_facts f = { .username = "u", .remote_address = "192.0.2.1:5", .user_id = 7 }, got;
    int64_t active;

    (void)state;
    assert_int_equal(connections_create(&t), 0);
    struct connection *r = connection_claim(&t);
    connection_publish(r, &f);
    uint8_t *own = (uint8_t *)(r + CONNECTIONS_MAX); /* what a session has of it */
    memset(own, 0xff, sizeof *r);
    assert_true(connection_read(r, &got, &active));
    assert_string_equal(got.username, "u");
    assert_string_equal(got.remote_address, "192.0.2.1:5");
    assert_int_equal(got.user_id, 7);
    assert_int_equal(connections_count(&t, 7), 1);
    for (size_t i = 0; i < TRANSFERS_MAX; i++)
        assert_int_equal(got.transfers[i].active, 0);
    memset(own, 0xfe, sizeof *r); /* texts without an end */
    assert_true(connection_read(r, &got, &active));
    assert_in_range(strlen(got.protocol), 1, sizeof got.protocol - 1);
    assert_in_range(strlen(got.transfers[0].path), 1, CONNECTION_PATH_MAX - 1);
    connection_free(r);
    assert_ptr_equal(connection_claim(&t), r);
    connection_publish(r, &f);
    assert_true(connection_read(r, &got, &active)); /* nothing is left for the next one */
    assert_string_equal(got.command, "");
    assert_int_equal(got.transfers[0].active, 0);
    connections_detach(&t);
}

/* ---- the usage map ---- */

struct map_file {
    char dir[32], path[64];
    FILE *f;
};

static void map_write(struct map_file *m, uint32_t version, const struct usage_slot *slots, uint32_t n)
{
    struct usage_header h = { .version = version, .slot_bytes = sizeof *slots, .slots = n, .generation = 2 };

    memcpy(h.magic, USAGE_MAGIC, sizeof h.magic);
    strcpy(m->dir, "/tmp/usageXXXXXX"); /* banned strcpy: a constant into a larger array */
    assert_non_null(mkdtemp(m->dir));
    snprintf(m->path, sizeof m->path, "%s/domains.map", m->dir);
    m->f = fopen(m->path, "w");
    assert_non_null(m->f);
    fwrite(&h, sizeof h, 1, m->f);
    fwrite(slots, sizeof *slots, n, m->f);
    fclose(m->f);
}

static void map_remove(struct map_file *m)
{
    unlink(m->path);
    rmdir(m->dir);
}

static void a_domain_is_found_by_kind_and_id(void **state)
{
    static struct usage_slot slots[3] = {
        { .id = 5, .kind = DOMAIN_USER, .used_bytes = 10, .adjust_bytes = -20 },
        { .id = 0 },
        { .id = 5, .kind = DOMAIN_FOLDER, .used_bytes = 30, .adjust_bytes = 3 },
    };
    struct map_file m;
    struct usage_map *map;
    uint32_t pos = 0;

    (void)state;
    map_write(&m, USAGE_VERSION, slots, 3);
    assert_int_equal(usage_open(m.dir, &map), 0);
    assert_int_equal(usage_reported_bytes(usage_find(map, DOMAIN_FOLDER, 5)), 33);
    assert_int_equal(usage_reported_bytes(usage_find(map, DOMAIN_USER, 5)), 0); /* never below zero */
    assert_null(usage_find(map, DOMAIN_USER, 6));
    assert_non_null(usage_next(map, &pos));
    assert_non_null(usage_next(map, &pos));
    assert_null(usage_next(map, &pos));
    usage_close(map);
    map_remove(&m);
}

static void a_map_of_another_version_is_refused(void **state)
{
    static struct usage_slot slot;
    struct map_file m;
    struct usage_map *map;

    (void)state;
    map_write(&m, USAGE_VERSION + 1, &slot, 1);
    assert_int_equal(usage_open(m.dir, &map), -EPROTO);
    map_remove(&m);
    assert_int_equal(usage_open(m.dir, &map), -ENOENT);
}

/* ---- descriptors of a role ---- */

static void descriptors_are_named_and_taken_once(void **state)
{
    static const char *const bad[] = { "x", "=3", "x=", "x=-1", "x=3y", "x=999999", "a=0,,b=1" };
    struct role r = { 0 };

    (void)state;
    assert_int_equal(role_parse_fds(&r, "a=0,sftp.0=1"), 0);
    assert_int_equal(role_take_fd(&r, "sftp.0"), 1);
    assert_int_equal(role_take_fd(&r, "sftp.0"), -1);
    assert_int_equal(role_take_fd(&r, "b"), -1);
    for (size_t i = 0; i < ARRAY_SIZE(bad); i++) {
        struct role other = { 0 };
        if (role_parse_fds(&other, bad[i]) != -EINVAL)
            fail_msg("%s is taken", bad[i]);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(a_question_gets_its_own_answer),
        cmocka_unit_test(a_message_over_the_limit_is_refused_before_it_is_sent),
        cmocka_unit_test(a_record_shows_what_its_owner_published),
        cmocka_unit_test(the_table_ends_at_its_last_record),
        cmocka_unit_test(transfers_beyond_the_last_are_not_shown_and_do_no_harm),
        cmocka_unit_test(a_session_keeps_only_its_own_record),
        cmocka_unit_test(a_session_that_lies_hides_nothing_but_its_transfers),
        cmocka_unit_test(a_domain_is_found_by_kind_and_id),
        cmocka_unit_test(a_map_of_another_version_is_refused),
        cmocka_unit_test(descriptors_are_named_and_taken_once),
    };

    return cmocka_run_group_tests(tests, NULL, NULL);
}
