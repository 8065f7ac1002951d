/* What comes before or beside a login: keys, certificates, key files, signed data, command lines, and the messages
 * between session and broker. The first byte says which. */
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "sftp/action.h"
#include "sftp/proof.h"
#include "sftp/ssh_cert.h"
#include "sftp/ssh_key.h"
#include "sftp/stream.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static void fuzz_blob(const uint8_t *data, size_t size)
{
    EVP_PKEY *key = NULL;
    struct queue again = QUEUE(2 * SSH_KEY_BLOB_MAX);
    struct strbuf shell = STRBUF(SSH_KEY_FILE_MAX);
    char fingerprint[64];

    ssh_key_fingerprint(data, size, fingerprint);
    if (ssh_key_from_blob(data, size, &key) == 0 && ssh_key_blob(key, &again) < 0)
        abort(); /* what was read can be written */
    IGNORE(ssh_key_write_shell(data, size, &shell), "only that it does no harm");
    EVP_PKEY_free(key);
    queue_done(&again);
    strbuf_done(&shell);
}

static void fuzz_cert(const uint8_t *data, size_t size)
{
    struct queue authority = QUEUE(SSH_KEY_BLOB_MAX), key = QUEUE(SSH_KEY_BLOB_MAX);
    struct ssh_authorities a = { &authority, 1 };
    const struct ssh_cert_use use = { "fuzz", "127.0.0.1", 1800000000 };

    queue_add(&authority, "none", 4);
    if (!ssh_cert_refusal(&a, data, size, &use))
        abort(); /* nobody has signed it */
    if (ssh_cert_is(data, size))
        IGNORE(ssh_cert_key(data, size, &key), "only that it does no harm");
    queue_done(&authority);
    queue_done(&key);
}

static void fuzz_key_file(const uint8_t *data, size_t size)
{
    EVP_PKEY *key = NULL;
    if (ssh_key_read((const char *)data, size, &key) == 0)
        EVP_PKEY_free(key);
}

/* Signature, data and key, each with its length before it. */
static void fuzz_proof(const uint8_t *data, size_t size)
{
    struct packet_in in = { .p = data, .left = size };
    struct login_proof p = { .session_id = (const uint8_t *)"0123456789abcdef0123456789abcdef",
                             .session_id_len = 32,
                             .username = "fuzz" };
    const char *reason;

    p.sig = packet_bytes(&in, &p.sig_len);
    p.data = packet_bytes(&in, &p.data_len);
    p.blob = packet_bytes(&in, &p.blob_len);
    if (packet_ok(&in) && proof_check(&p, &reason) == 0)
        abort(); /* nobody can sign for this session */
}

static void fuzz_words(const uint8_t *data, size_t size)
{
    struct words w;
    char *line = strndup((const char *)data, size);
    if (line && words_split(line, &w) == 0) {
        for (size_t i = 0; i < w.n; i++)
            if (strlen(w.v[i]) > size)
                abort();
        words_done(&w);
    }
    free(line);
}

static void fuzz_action(const uint8_t *data, size_t size)
{
    struct packet_in in = { .p = data, .left = size };
    struct action_event e;
    if (action_parse(&in, &e) == 0) {
        if (strstr(e.path, "/../") || (e.path[0] && e.path[0] != '/'))
            abort();
        action_done(&e);
    }
}

static void (*const parsers[])(const uint8_t *data, size_t size) = { fuzz_blob,  fuzz_cert,  fuzz_key_file,
                                                                     fuzz_proof, fuzz_words, fuzz_action };

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    if (size > 0)
        parsers[data[0] % ARRAY_SIZE(parsers)](data + 1, size - 1);
    return 0;
}
