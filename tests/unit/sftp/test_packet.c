/* The wire form: what is cut short is bad and never read past; what is written is read again. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sftp/attrs.h"
#include "sftp/packet.h"

static void what_was_put_is_read_again(void **state)
{
    struct queue q = QUEUE(1024);
    char *text = NULL;
    size_t len;
    (void)state;

    packet_put_u8(&q, 7);
    packet_put_u32(&q, 0xdeadbeef);
    packet_put_u64(&q, UINT64_MAX - 1);
    packet_put_bytes(&q, "a\0b", 3);
    packet_put_text(&q, "text");
    struct packet_in in = { .p = queue_bytes(&q), .left = q.len };
    assert_int_equal(packet_u8(&in), 7);
    assert_int_equal(packet_u32(&in), 0xdeadbeef);
    assert_true(packet_u64(&in) == UINT64_MAX - 1);
    assert_memory_equal(packet_bytes(&in, &len), "a\0b", 3);
    assert_int_equal(packet_text(&in, 100, &text), 0);
    assert_string_equal(text, "text");
    assert_true(packet_ok(&in));
    assert_int_equal(in.left, 0);
    free(text);
    queue_done(&q);
}

static void each_truncation_is_bad_and_gives_zero(void **state)
{
    static const uint8_t whole[] = { 1, 0, 0, 0, 2, 0, 0, 0, 0, 0, 0, 0, 3, 0, 0, 0, 2, 'h', 'i' };
    (void)state;

    for (size_t n = 0; n < sizeof(whole); n++) {
        uint8_t *copy = malloc(n + 1); /* exactly n, so that the sanitizer sees a read past the end */
        memcpy(copy, whole, n);
        struct packet_in in = { .p = copy, .left = n };
        size_t len;
        packet_u8(&in);
        packet_u32(&in);
        packet_u64(&in);
        const uint8_t *p = packet_bytes(&in, &len);
        assert_null(p);
        assert_int_equal(len, 0);
        assert_false(packet_ok(&in));
        assert_int_equal(packet_u32(&in), 0);
        free(copy);
    }
}

static void texts_with_a_nul_or_too_long_are_refused(void **state)
{
    static const struct {
        const char *name, *bytes;
        size_t len, max;
        int r;
    } rows[] = {
        { "fits", "\0\0\0\2ab", 6, 2, 0 },
        { "one too long", "\0\0\0\3abc", 7, 2, -EINVAL },
        { "a NUL inside", "\0\0\0\2a\0", 6, 9, -EINVAL },
        { "a length that lies",
          "\xff\xff\xff\xff"
          "ab",
          6, 9, -EBADMSG },
        { "no length", "\0\0", 2, 9, -EBADMSG },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct packet_in in = { .p = (const uint8_t *)rows[i].bytes, .left = rows[i].len };
        char *text = NULL;
        if (packet_text(&in, rows[i].max, &text) != rows[i].r)
            fail_msg("%s", rows[i].name);
        free(text);
    }
}

static void a_queue_never_holds_more_than_its_maximum(void **state)
{
    struct queue q = QUEUE(100);
    (void)state;

    for (int i = 0; i < 100; i++)
        packet_put_u8(&q, (uint8_t)i);
    assert_int_equal(q.failed, 0);
    queue_pass(&q, 60);
    for (int i = 0; i < 60; i++)
        packet_put_u8(&q, (uint8_t)(100 + i));
    assert_int_equal(q.failed, 0);
    for (size_t i = 0; i < 100; i++)
        assert_int_equal(queue_bytes(&q)[i], 60 + i); /* in order, whatever moved */
    packet_put_u8(&q, 1);
    assert_int_equal(q.failed, -E2BIG);
    assert_int_equal(q.len, 100);
    queue_done(&q);
}

static void attributes_keep_their_order_and_refuse_lies(void **state)
{
    struct queue q = QUEUE(4096);
    struct attrs a;
    (void)state;

    packet_put_u32(&q, ATTR_SIZE | ATTR_UIDGID | ATTR_PERMISSIONS | ATTR_ACMODTIME | ATTR_EXTENDED);
    packet_put_u64(&q, 1ULL << 40);
    for (uint32_t i = 1; i <= 5; i++)
        packet_put_u32(&q, i);
    packet_put_u32(&q, 1);
    packet_put_text(&q, "name");
    packet_put_text(&q, "value");
    for (size_t n = 0; n <= q.len; n++) {
        struct packet_in in = { .p = queue_bytes(&q), .left = n };
        assert_int_equal(attrs_parse(&in, &a), n < q.len ? -EBADMSG : 0);
    }
    assert_true(a.size == 1ULL << 40);
    assert_int_equal(a.uid, 1);
    assert_int_equal(a.gid, 2);
    assert_int_equal(a.mode, 3);
    assert_int_equal(a.atime_s, 4);
    assert_int_equal(a.mtime_s, 5);
    struct packet_in in = { .p = (const uint8_t *)"\x80\0\0\0\xff\xff\xff\xff", .left = 8 };
    assert_int_equal(attrs_parse(&in, &a), -EBADMSG);
    queue_done(&q);
}

static void long_names_look_like_ls(void **state)
{
    static const struct {
        mode_t mode;
        int64_t mtime;
        const char *expected;
    } rows[] = {
        { S_IFREG | 0644, 1000000000, "-rw-r--r--    1 1000     100                42 Sep  9 01:46 n" },
        { S_IFDIR | S_ISVTX | 0755, 1000000000, "drwxr-xr-t    1 1000     100                42 Sep  9 01:46 n" },
        { S_IFREG | S_ISUID | 0655, 0, "-rwSr-xr-x    1 1000     100                42 Jan  1  1970 n" },
        { S_IFLNK | 0777, 1900000000, "lrwxrwxrwx    1 1000     100                42 Mar 17  2030 n" },
    };
    (void)state;

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        struct strbuf b = STRBUF(512);
        struct stat st = { .st_mode = rows[i].mode, .st_uid = 1000, .st_gid = 100, .st_nlink = 1, .st_size = 42 };
        st.st_mtim.tv_sec = rows[i].mtime;
        attrs_long_name(&b, "n", &st, 1000000100);
        assert_string_equal(b.s, rows[i].expected);
        strbuf_done(&b);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(what_was_put_is_read_again),
        cmocka_unit_test(each_truncation_is_bad_and_gives_zero),
        cmocka_unit_test(texts_with_a_nul_or_too_long_are_refused),
        cmocka_unit_test(a_queue_never_holds_more_than_its_maximum),
        cmocka_unit_test(attributes_keep_their_order_and_refuse_lies),
        cmocka_unit_test(long_names_look_like_ls),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
