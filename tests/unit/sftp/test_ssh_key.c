/* Host keys and users' keys: what is written is read again, shells do not hold the key, foreign signatures fail. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdlib.h>
#include <string.h>

#include <cmocka.h>

#include "sftp/ssh_key.h"

static const struct {
    const char *name, *algorithm, *curve, *digest;
} kinds[] = {
    { "ed25519", "ED25519", NULL, NULL }, { "P-256", "EC", "P-256", "SHA256" }, { "P-384", "EC", "P-384", "SHA384" },
    { "P-521", "EC", "P-521", "SHA512" }, { "RSA", "RSA", NULL, "SHA512" },
};

static EVP_PKEY *make(size_t i)
{
    if (kinds[i].curve)
        return EVP_PKEY_Q_keygen(NULL, NULL, "EC", kinds[i].curve);
    if (strcmp(kinds[i].algorithm, "RSA") == 0)
        return EVP_PKEY_Q_keygen(NULL, NULL, "RSA", (size_t)2048);
    return EVP_PKEY_Q_keygen(NULL, NULL, kinds[i].algorithm);
}

static int sign_and_verify(EVP_PKEY *private, EVP_PKEY *public, const char *digest)
{
    static const uint8_t data[] = "what is signed";
    uint8_t sig[1024];
    size_t len = sizeof(sig);
    assert_int_equal(ssh_key_sign(private, digest, data, sizeof(data), sig, &len), 0);
    int r = ssh_key_verify(public, digest, data, sizeof(data), sig, len);
    sig[len / 2] ^= 1;
    assert_int_equal(ssh_key_verify(public, digest, data, sizeof(data), sig, len), -EACCES);
    return r;
}

static void keys_survive_file_and_blob(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct strbuf file = STRBUF(SSH_KEY_FILE_MAX);
        struct queue blob = QUEUE(SSH_KEY_BLOB_MAX);
        EVP_PKEY *key = make(i), *again = NULL, *public = NULL;
        assert_non_null(key);
        assert_int_equal(ssh_key_write(key, &file), 0);
        assert_int_equal(ssh_key_read(file.s, file.len, &again), 0);
        assert_int_equal(ssh_key_blob(key, &blob), 0);
        assert_int_equal(ssh_key_from_blob(queue_bytes(&blob), blob.len, &public), 0);
        if (sign_and_verify(again, public, kinds[i].digest) != 0)
            fail_msg("%s", kinds[i].name);
        EVP_PKEY_free(key);
        EVP_PKEY_free(again);
        EVP_PKEY_free(public);
        queue_done(&blob);
        strbuf_done(&file);
    }
}

static void a_shell_has_the_public_half_and_cannot_sign(void **state)
{
    (void)state;
    for (size_t i = 0; i < ARRAY_SIZE(kinds); i++) {
        struct strbuf file = STRBUF(SSH_KEY_FILE_MAX), real = STRBUF(SSH_KEY_FILE_MAX);
        struct queue blob = QUEUE(SSH_KEY_BLOB_MAX);
        static const uint8_t data[] = "what is signed";
        uint8_t sig[1024];
        size_t len = sizeof(sig);
        EVP_PKEY *key = make(i), *shell = NULL;
        assert_int_equal(ssh_key_blob(key, &blob), 0);
        assert_int_equal(ssh_key_write_shell(queue_bytes(&blob), blob.len, &file), 0);
        assert_int_equal(ssh_key_write(key, &real), 0);
        assert_string_not_equal(file.s, real.s);
        if (ssh_key_read(file.s, file.len, &shell) == 0 &&
            ssh_key_sign(shell, kinds[i].digest, data, sizeof(data), sig, &len) == 0)
            assert_int_equal(ssh_key_verify(key, kinds[i].digest, data, sizeof(data), sig, len), -EACCES);
        EVP_PKEY_free(key);
        EVP_PKEY_free(shell);
        queue_done(&blob);
        strbuf_done(&file);
        strbuf_done(&real);
    }
}

static void broken_files_and_blobs_are_refused(void **state)
{
    struct strbuf file = STRBUF(SSH_KEY_FILE_MAX);
    struct queue blob = QUEUE(SSH_KEY_BLOB_MAX);
    EVP_PKEY *key = make(0), *got = NULL;
    (void)state;

    assert_int_equal(ssh_key_write(key, &file), 0);
    for (size_t n = 0; n < file.len - 40; n++)
        assert_true(ssh_key_read(file.s, n, &got) < 0);
    assert_int_equal(ssh_key_blob(key, &blob), 0);
    for (size_t n = 0; n < blob.len; n++)
        assert_true(ssh_key_from_blob(queue_bytes(&blob), n, &got) < 0);
    packet_put_u8(&blob, 0);
    assert_int_equal(ssh_key_from_blob(queue_bytes(&blob), blob.len, &got), -EINVAL);
    assert_true(ssh_key_read("-----BEGIN PRIVATE KEY-----\nAAAA\n-----END PRIVATE KEY-----\n", 60, &got) < 0);
    EVP_PKEY_free(key);
    queue_done(&blob);
    strbuf_done(&file);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(keys_survive_file_and_blob),
        cmocka_unit_test(a_shell_has_the_public_half_and_cannot_sign),
        cmocka_unit_test(broken_files_and_blobs_are_refused),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
