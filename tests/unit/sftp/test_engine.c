/* The engine against clients that err, lie or send noise; quota and disk in words; atomic uploads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "base/str.h"
#include "base/sys.h"
#include "sftp/attrs.h"
#include "tests/unit/sftp/bed.h"

enum { READ = 1, WRITE = 2, APPEND = 4, CREATE = 8, TRUNCATE = 16, EXCLUSIVE = 32, RANDOM_PACKETS = 100000 };

static void unknown_requests_are_answered_unsupported(void **state)
{
    struct bed *b = *state;
    for (unsigned type = 0; type < 256; type++) {
        if ((type >= FXP_OPEN && type <= FXP_SYMLINK) || type == FXP_EXTENDED)
            continue;
        bed_ask(b, (uint8_t)type);
        bed_send(b);
        assert_int_equal(b->status, FX_OP_UNSUPPORTED);
    }
    assert_int_equal(bed_extended(b, "no-such@example.org", "x", NULL), FX_OP_UNSUPPORTED);
}

static void truncated_requests_are_bad_messages_and_change_nothing(void **state)
{
    struct bed *b = *state;
    bed_file(b, "f", "content");
    for (unsigned type = FXP_OPEN; type <= FXP_SYMLINK; type++) {
        bed_ask(b, (uint8_t)type);
        packet_put_u32(&b->request, 1000); /* a string that is not there */
        packet_put_u8(&b->request, 'f');
        bed_send(b);
        assert_int_equal(b->status, FX_BAD_MESSAGE);
    }
    bed_content(b, "f", "content");
    assert_int_equal(bed_entries(b), 1);
}

static void what_is_no_packet_ends_the_channel(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t len;
    } rows[] = {
        { "longer than the limit", "\0\4\0\1\1", 5 },
        { "length zero", "\0\0\0\0\0", 5 },
        { "all ones", "\xff\xff\xff\xff\xff", 5 },
        { "not INIT first", "\0\0\0\5\3\0\0\0\3", 9 },
    };
    struct bed *b = *state;
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct engine *e;
        assert_int_equal(engine_new(&b->account, &e), 0);
        assert_int_equal(engine_feed(e, rows[i].bytes, rows[i].len), 0);
        if (engine_step(e) != -EPROTO)
            fail_msg("%s", rows[i].name);
        engine_free(e);
    }
}

static void handles_that_were_not_given_are_refused(void **state)
{
    struct bed *b = *state;
    char h[8] = "", bad[8];
    bed_file(b, "f", "content");
    assert_int_equal(bed_open(b, "/f", READ, h), FX_OK);
    for (int bit = 0; bit < 64; bit++) {
        memcpy(bad, h, 8);
        bad[bit / 8] = (char)(bad[bit / 8] ^ 1 << bit % 8);
        assert_int_equal(bed_close(b, bad), FX_FAILURE);
        assert_string_equal(b->text, "no such handle");
    }
    assert_int_equal(bed_close(b, h), FX_OK);
    assert_int_equal(bed_close(b, h), FX_FAILURE);
    assert_int_equal(bed_open(b, "/f", READ, bad), FX_OK);
    assert_memory_not_equal(h, bad, 8); /* the slot is used again, the name is not */
}

static void handles_are_limited_and_the_text_says_so(void **state)
{
    struct bed *b = *state;
    char h[8];
    bed_file(b, "f", "");
    for (int i = 0; i < 1000; i++)
        assert_int_equal(bed_open(b, "/f", READ, h), FX_OK);
    assert_int_equal(bed_open(b, "/f", READ, h), FX_FAILURE);
    assert_non_null(strstr(b->text, "too many open files"));
    assert_int_equal(bed_close(b, h), FX_OK);
    assert_int_equal(bed_open(b, "/f", READ, h), FX_OK);
}

static void random_packet(struct queue *q, unsigned *seed)
{
    size_t len = (size_t)rand_r(seed) % 64;
    queue_cut(q, 0);
    packet_put_u32(q, (uint32_t)(len + 5));
    packet_put_u8(q, (uint8_t)(rand_r(seed) % 4 ? 3 + rand_r(seed) % 18 : rand_r(seed)));
    packet_put_u32(q, (uint32_t)rand_r(seed));
    for (size_t i = 0; i < len; i++) /* small numbers, so that some lengths fit */
        packet_put_u8(q, (uint8_t)(rand_r(seed) % 3 ? rand_r(seed) % 8 : rand_r(seed)));
}

static void a_hundred_thousand_random_packets_are_each_answered_once(void **state)
{
    struct bed *b = *state;
    unsigned seed = 20261124;
    for (int i = 0; i < RANDOM_PACKETS; i++) {
        size_t len;
        random_packet(&b->request, &seed);
        assert_int_equal(engine_feed(b->engine, queue_bytes(&b->request), b->request.len), 0);
        int r;
        while ((r = engine_step(b->engine)) == 1)
            ;
        assert_int_equal(r, 0);
        const uint8_t *out = engine_output(b->engine, &len);
        assert_non_null(out);
        struct packet_in in = { .p = out, .left = len };
        assert_int_equal(packet_u32(&in), len - 4);
        engine_sent(b->engine, len);
    }
}

static void bytes_may_come_one_by_one(void **state)
{
    struct bed *b = *state;
    size_t len;
    bed_ask(b, FXP_REALPATH);
    packet_put_text(&b->request, "a/../b");
    packet_end(&b->request, 0);
    for (size_t i = 0; i < b->request.len; i++) {
        engine_output(b->engine, &len);
        assert_int_equal(len, 0);
        assert_int_equal(engine_feed(b->engine, queue_bytes(&b->request) + i, 1), 0);
        assert_int_equal(engine_step(b->engine), 0);
    }
    engine_output(b->engine, &len);
    assert_true(len > 0);
}

static void output_stops_at_its_mark_and_goes_on_when_taken(void **state)
{
    struct bed *b = *state;
    char h[8];
    size_t len, replies = 0;
    bed_run(b, (const char *const[]){ "truncate", "-s", "300K", "f", NULL });
    assert_int_equal(bed_open(b, "/f", READ, h), FX_OK);
    for (int i = 0; i < 64; i++) {
        bed_ask(b, FXP_READ);
        packet_put_bytes(&b->request, h, 8);
        packet_put_u64(&b->request, 0);
        packet_put_u32(&b->request, PACKET_DATA_MAX);
        packet_end(&b->request, 0);
        assert_int_equal(engine_feed(b->engine, queue_bytes(&b->request), b->request.len), 0);
    }
    do {
        while (engine_step(b->engine) == 1)
            ;
        engine_output(b->engine, &len);
        assert_true(len <= ENGINE_OUTPUT_MARK + PACKET_DATA_MAX + 13);
        replies += len / (PACKET_DATA_MAX + 13);
        engine_sent(b->engine, len);
    } while (len > 0);
    assert_int_equal(replies, 64);
}

/* A file system that is full in one way or another. */
static struct sys full_sys;
static int full_error;
static ssize_t full_pwrite(int fd, const void *buf, size_t len, uint64_t off)
{
    (void)fd, (void)buf, (void)len, (void)off;
    return full_error;
}

static void quota_and_disk_are_said_in_words_and_originals_survive(void **state)
{
    static const struct {
        int error;
        const char *words;
    } rows[] = { { -EDQUOT, "quota exceeded" },
                 { -ENOSPC, "disk is full" },
                 { -EIO, "input/output error" },
                 { -EFBIG, "too large" } };
    struct bed *b = *state;
    char h[8];

    full_sys = sys_real;
    full_sys.pwrite = full_pwrite;
    for (uint32_t mode = UPLOAD_STANDARD; mode <= UPLOAD_ATOMIC_RESUME; mode++)
        for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
            b->account.upload_mode = mode;
            bed_file(b, "f", "the original");
            assert_int_equal(bed_open(b, "/f", WRITE | CREATE | TRUNCATE, h), FX_OK);
            full_error = rows[i].error;
            sys = &full_sys;
            assert_int_equal(bed_write(b, h, 0, "new"), FX_FAILURE);
            sys = &sys_real;
            assert_non_null(strstr(b->text, rows[i].words));
            assert_int_equal(bed_close(b, h), FX_FAILURE); /* a client that ignored the write hears it again */
            assert_non_null(strstr(b->text, rows[i].words));
            bed_content(b, "f", mode == UPLOAD_STANDARD ? "" : "the original");
            assert_int_equal(bed_entries(b), 1); /* no temporary file stays */
        }
}

static void atomic_uploads_replace_the_original_at_the_close(void **state)
{
    struct bed *b = *state;
    char h[8];
    for (uint32_t mode = UPLOAD_STANDARD; mode <= UPLOAD_ATOMIC_RESUME; mode++) {
        b->account.upload_mode = mode;
        bed_file(b, "f", "old");
        assert_int_equal(bed_open(b, "/f", WRITE | CREATE | TRUNCATE, h), FX_OK);
        assert_int_equal(bed_write(b, h, 0, "new content"), FX_OK);
        bed_content(b, "f", mode == UPLOAD_STANDARD ? "new content" : "old");
        assert_int_equal(bed_path(b, FXP_STAT, "/f"), FX_OK);
        struct packet_in in = { .p = b->data + 4, .left = 8 };
        assert_int_equal(packet_u64(&in), 11); /* its uploader sees the new one */
        assert_int_equal(bed_close(b, h), FX_OK);
        bed_content(b, "f", "new content");
        assert_int_equal(bed_entries(b), 1);
    }
}

static void broken_off_uploads_end_as_their_mode_says(void **state)
{
    static const struct {
        uint32_t mode;
        const char *content;
    } rows[] = { { UPLOAD_STANDARD, "par" }, { UPLOAD_ATOMIC, "old" }, { UPLOAD_ATOMIC_RESUME, "par" } };
    struct bed *b = *state;
    char h[8];
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        b->account.upload_mode = rows[i].mode;
        bed_file(b, "f", "old");
        assert_int_equal(bed_open(b, "/f", WRITE | CREATE | TRUNCATE, h), FX_OK);
        assert_int_equal(bed_write(b, h, 0, "par"), FX_OK);
        bed_restart(b); /* the connection is lost */
        bed_content(b, "f", rows[i].content);
        assert_int_equal(bed_entries(b), 1);
    }
}

static void resumed_uploads_go_on_in_place(void **state)
{
    struct bed *b = *state;
    char h[8];
    for (uint32_t mode = UPLOAD_STANDARD; mode <= UPLOAD_ATOMIC_RESUME; mode++) {
        b->account.upload_mode = mode;
        bed_file(b, "f", "half");
        assert_int_equal(bed_open(b, "/f", WRITE, h), FX_OK);
        assert_int_equal(bed_write(b, h, 4, " and half"), FX_OK);
        assert_int_equal(bed_close(b, h), FX_OK);
        bed_content(b, "f", "half and half");
    }
}

static void fifos_and_directories_do_not_open(void **state)
{
    struct bed *b = *state;
    char h[8];
    bed_run(b, (const char *const[]){ "mkfifo", "fifo", NULL });
    assert_int_equal(bed_path(b, FXP_MKDIR, "/d"), FX_OK);
    assert_int_equal(bed_open(b, "/fifo", READ, h), FX_FAILURE); /* at once, without a writer */
    assert_string_equal(b->text, "not a regular file");
    assert_int_equal(bed_open(b, "/fifo", WRITE, h), FX_FAILURE);
    assert_int_equal(bed_open(b, "/d", READ, h), FX_FAILURE);
    assert_int_equal(bed_open(b, "/d", WRITE | CREATE, h), FX_FAILURE);
    assert_int_equal(bed_open(b, "/d", 0, h), FX_FAILURE);
}

static void the_largest_upload_size_is_kept_by_extent(void **state)
{
    struct bed *b = *state;
    char h[8];
    b->user.filters.max_upload_file_size = 10;
    assert_int_equal(bed_open(b, "/f", WRITE | CREATE, h), FX_OK);
    assert_int_equal(bed_write(b, h, 0, "0123456789"), FX_OK);
    assert_int_equal(bed_write(b, h, 5, "56789"), FX_OK);
    assert_int_equal(bed_write(b, h, 10, "x"), FX_FAILURE);
    assert_int_equal(bed_write(b, h, UINT64_MAX - 1, "xyz"), FX_FAILURE); /* the sum must not wrap */
    bed_content(b, "f", "0123456789");
}

/* check-file-handle or check-file-name: the sums in hex, "" for a refusal. */
static void check(struct bed *b, const char *extension, const char *what, size_t what_len, const char *list,
                  uint64_t off, uint64_t length, uint32_t block, char to[512])
{
    to[0] = '\0';
    bed_ask(b, FXP_EXTENDED);
    packet_put_text(&b->request, extension);
    packet_put_bytes(&b->request, what, what_len);
    packet_put_text(&b->request, list);
    packet_put_u64(&b->request, off);
    packet_put_u64(&b->request, length);
    packet_put_u32(&b->request, block);
    bed_send(b);
    if (b->type != FXP_EXTENDED_REPLY)
        return;
    size_t len;
    struct packet_in in = { .p = b->data, .left = b->data_len };
    const uint8_t *name = packet_bytes(&in, &len);
    assert_int_equal(len, 10);
    assert_memory_equal(name, "check-file", 10);
    const uint8_t *algorithm = packet_bytes(&in, &len);
    snprintf(to, 512, "%.*s:", (int)len, (const char *)algorithm);
    assert_true(in.left < 200);
    str_hex(to + strlen(to), in.p, in.left);
}

static void sums_are_those_of_the_range_by_name_and_by_handle(void **state)
{
    static const struct {
        const char *list;
        uint64_t off, length;
        uint32_t block;
        const char *sums;
    } rows[] = {
        { "md5", 0, 0, 0, "md5:9a0364b9e99bb480dd25e1f0284c8555" },
        { "crc32,sha1,md5", 0, 7, 0, "sha1:040f06fd774092478d450774f5ba30c5da78acc8" },
        { "md5", 3, 2, 0, "md5:569ef72642be0fadd711d6a468d68ee1" },
        { "md5", 7, 0, 0, "md5:d41d8cd98f00b204e9800998ecf8427e" },
        { "md5", 0, 0, 256, "md5:9a0364b9e99bb480dd25e1f0284c8555" },
        { "md5", 0, 0, 255, "" },
        { "whirlpool", 0, 0, 0, "" },
        { "", 0, 0, 0, "" },
        { "md5", UINT64_MAX, 0, 0, "" },
    };
    struct bed *b = *state;
    char handle[8], got[512];
    bed_file(b, "f", "content");
    assert_int_equal(bed_open(b, "/f", 1, handle), FX_OK);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        const typeof(rows[0]) *w = &rows[i];
        check(b, "check-file-name", "/f", 2, w->list, w->off, w->length, w->block, got);
        if (strcmp(got, w->sums) != 0)
            fail_msg("%zu: %s %s", i, got, b->text);
        check(b, "check-file-handle", handle, 8, w->list, w->off, w->length, w->block, got);
        assert_string_equal(got, w->sums);
    }
}

static void sums_of_blocks_are_bounded_and_need_the_right_to_download(void **state)
{
    struct bed *b = *state;
    char got[512], handle[8];
    bed_run(b, (const char *const[]){ "truncate", "-s", "600", "blocks", NULL });
    bed_run(b, (const char *const[]){ "truncate", "-s", "100M", "large", NULL });
    check(b, "check-file-name", "/blocks", 7, "md5", 0, 0, 256, got);
    assert_int_equal(strlen(got), 4 + 3 * 32);
    check(b, "check-file-name", "/large", 6, "md5", 0, 0, 256, got);
    assert_string_equal(b->text, "too many blocks: ask for larger ones");
    check(b, "check-file-name", "/large", 6, "md5", 0, 0, 0, got);
    assert_string_equal(got, "md5:2f282b84e7e608d5852449ed940bfc51");
    check(b, "check-file-name", "/none", 5, "md5", 0, 0, 0, got);
    assert_int_equal(b->status, FX_NO_SUCH_FILE);
    bed_allow(b, "/", MAY_ALL & ~(uint32_t)MAY_DOWNLOAD);
    check(b, "check-file-name", "/blocks", 7, "md5", 0, 0, 0, got);
    assert_int_equal(b->status, FX_PERMISSION_DENIED);
    assert_int_equal(bed_open(b, "/blocks", 2, handle), FX_OK);
    check(b, "check-file-handle", handle, 8, "md5", 0, 0, 0, got);
    assert_int_equal(b->status, FX_PERMISSION_DENIED);
}

static void times_set_during_an_upload_are_those_at_its_end(void **state)
{
    struct bed *b = *state;
    char handle[8], path[96];
    struct stat st;
    for (uint32_t mode = UPLOAD_STANDARD; mode <= UPLOAD_ATOMIC_RESUME; mode++)
        for (int by_handle = 0; by_handle < 2; by_handle++) {
            b->account.upload_mode = mode;
            assert_int_equal(bed_open(b, "/f", 2 | 8 | 16, handle), FX_OK);
            bed_ask(b, by_handle ? FXP_FSETSTAT : FXP_SETSTAT);
            packet_put_bytes(&b->request, by_handle ? handle : "/f", by_handle ? 8 : 2);
            packet_put_u32(&b->request, ATTR_ACMODTIME);
            packet_put_u32(&b->request, 1000000000);
            packet_put_u32(&b->request, 1100000000 + mode);
            bed_send(b);
            assert_int_equal(b->status, FX_OK);
            assert_int_equal(bed_write(b, handle, 0, "content"), FX_OK);
            assert_int_equal(bed_close(b, handle), FX_OK);
            snprintf(path, sizeof(path), "%s/f", b->dir);
            assert_int_equal(stat(path, &st), 0);
            assert_int_equal(st.st_mtim.tv_sec, 1100000000 + mode);
        }
}

static void what_is_as_large_as_may_be_is_not_opened_to_be_resumed(void **state)
{
    struct bed *b = *state;
    char handle[8];
    bed_file(b, "f", "content");
    b->user.filters.max_upload_file_size = 7;
    assert_int_equal(bed_open(b, "/f", 2, handle), FX_FAILURE);
    assert_non_null(strstr(b->text, "larger than this account may upload"));
    assert_int_equal(bed_open(b, "/f", 2 | 8 | 16, handle), FX_OK);
    bed_close(b, handle);
    b->user.filters.max_upload_file_size = 8;
    bed_file(b, "f", "content");
    assert_int_equal(bed_open(b, "/f", 2, handle), FX_OK);
    assert_int_equal(bed_write(b, handle, 7, "+"), FX_OK);
    assert_int_equal(bed_write(b, handle, 8, "+"), FX_FAILURE);
}

static void a_read_only_session_changes_nothing(void **state)
{
    struct bed *b = *state;
    char h[8];
    b->account.read_only = true;
    bed_file(b, "f", "content");
    assert_int_equal(bed_open(b, "/f", READ, h), FX_OK);
    assert_int_equal(bed_open(b, "/f", WRITE | TRUNCATE, h), FX_PERMISSION_DENIED);
    assert_int_equal(bed_open(b, "/g", WRITE | CREATE, h), FX_PERMISSION_DENIED);
    assert_int_equal(bed_path(b, FXP_REMOVE, "/f"), FX_PERMISSION_DENIED);
    assert_int_equal(bed_path(b, FXP_MKDIR, "/d"), FX_PERMISSION_DENIED);
    assert_int_equal(bed_two(b, FXP_RENAME, "/f", "/g"), FX_PERMISSION_DENIED);
    assert_int_equal(bed_two(b, FXP_SYMLINK, "f", "/l"), FX_PERMISSION_DENIED);
    assert_int_equal(bed_extended(b, "hardlink@openssh.com", "/f", "/h"), FX_PERMISSION_DENIED);
    bed_content(b, "f", "content");
    assert_int_equal(bed_entries(b), 1);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(unknown_requests_are_answered_unsupported, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(truncated_requests_are_bad_messages_and_change_nothing, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(what_is_no_packet_ends_the_channel, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(handles_that_were_not_given_are_refused, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(handles_are_limited_and_the_text_says_so, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(a_hundred_thousand_random_packets_are_each_answered_once, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(bytes_may_come_one_by_one, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(output_stops_at_its_mark_and_goes_on_when_taken, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(quota_and_disk_are_said_in_words_and_originals_survive, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(atomic_uploads_replace_the_original_at_the_close, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(broken_off_uploads_end_as_their_mode_says, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(resumed_uploads_go_on_in_place, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(fifos_and_directories_do_not_open, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(the_largest_upload_size_is_kept_by_extent, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(sums_are_those_of_the_range_by_name_and_by_handle, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(sums_of_blocks_are_bounded_and_need_the_right_to_download, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(times_set_during_an_upload_are_those_at_its_end, bed_setup, bed_teardown),
        cmocka_unit_test_setup_teardown(what_is_as_large_as_may_be_is_not_opened_to_be_resumed, bed_setup,
                                        bed_teardown),
        cmocka_unit_test_setup_teardown(a_read_only_session_changes_nothing, bed_setup, bed_teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
