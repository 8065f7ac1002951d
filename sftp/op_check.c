/* check-file-handle and check-file-name: sums of a file or of each block of it, without sending the file.
 *
 * A long file is read in pieces, one a step, like copy-data; the client's other requests wait meanwhile. Sums tell the
 * content to who can guess it, so they need the right to download; they are no transfer in the log and to hooks.
 *
 * "check-file" is what paramiko sends for check-file-handle; it is answered and not announced.
 *
 * Source: draft-ietf-secsh-filexfer-extensions-00 §3. */
#include <openssl/evp.h>
#include <stdlib.h>
#include <string.h>

#include "sftp/request.h"

enum {
    CHECK_PIECE = 256 * 1024,
    CHECK_PIECES_A_STEP = 16,
    BLOCK_MIN = 256,
    SUMS_MAX = 128 * 1024,
    ALGORITHMS_MAX = 512
};

static const struct {
    const char *wire, *digest;
} algorithms[] = {
    { "md5", "MD5" },       { "sha1", "SHA1" },     { "sha224", "SHA224" },
    { "sha256", "SHA256" }, { "sha384", "SHA384" }, { "sha512", "SHA512" },
};

static bool list_begins_with(const uint8_t *list, size_t len, const char *name)
{
    size_t n = strlen(name);
    return len >= n && memcmp(list, name, n) == 0 && (len == n || list[n] == ',');
}

/* The first of the client's comma-separated wishes that we know. */
static int algorithm_choose(const uint8_t *list, size_t len)
{
    while (len > 0) {
        for (size_t i = 0; i < ARRAY_SIZE(algorithms); i++)
            if (list_begins_with(list, len, algorithms[i].wire))
                return (int)i;
        const uint8_t *comma = memchr(list, ',', len);
        size_t skip = comma ? (size_t)(comma - list) + 1 : len;
        list += skip;
        len -= skip;
    }
    return -EOPNOTSUPP;
}

static void checking_done(struct engine *e)
{
    struct checking *c = &e->checking;
    if (c->owns_file)
        home_file_abort(e->account, c->file);
    EVP_MD_CTX_free(c->md);
    queue_done(&c->sums);
    *c = (struct checking){ 0 };
}

static int block_begin(struct checking *c)
{
    const EVP_MD *md = EVP_get_digestbyname(algorithms[c->algorithm].digest);
    c->block_left = c->block ? c->block : UINT64_MAX;
    return md && EVP_DigestInit_ex(c->md, md, NULL) == 1 ? 0 : -EOPNOTSUPP;
}

static int block_end(struct checking *c)
{
    uint8_t sum[EVP_MAX_MD_SIZE];
    unsigned len = 0;

    if (EVP_DigestFinal_ex(c->md, sum, &len) != 1)
        return -EIO;
    queue_add(&c->sums, sum, len);
    return c->sums.failed;
}

static int check_start(struct request *rq, struct checking *c)
{
    size_t len;
    const uint8_t *list = packet_bytes(&rq->in, &len);

    c->id = rq->id;
    c->off = packet_u64(&rq->in);
    c->left = packet_u64(&rq->in);
    c->block = packet_u32(&rq->in);
    if (!packet_ok(&rq->in) || len > ALGORITHMS_MAX)
        return -EBADMSG;
    c->algorithm = algorithm_choose(list, len);
    if (c->algorithm < 0)
        rq->text = "none of these checksums is known here";
    else if (c->block > 0 && c->block < BLOCK_MIN)
        rq->text = "the block size must be 0 or at least 256";
    if (rq->text || c->off > INT64_MAX)
        return -EINVAL;
    if (c->left == 0)
        c->left = UINT64_MAX;
    c->md = EVP_MD_CTX_new();
    return c->md ? block_begin(c) : -ENOMEM;
}

static int check_begin(struct engine *e, struct request *rq, struct home_file *f, bool owns_file)
{
    e->checking = (struct checking){ .file = f, .owns_file = owns_file, .sums = QUEUE(SUMS_MAX) };
    int r = check_start(rq, &e->checking);
    if (r < 0) {
        checking_done(e);
        return r;
    }
    e->checking.active = true;
    return ANSWERED;
}

int ext_check_handle(struct engine *e, struct request *rq)
{
    if (!rq->item->file)
        return -EISDIR;
    if (!rq->item->file->may_read)
        return -EACCES;
    return check_begin(e, rq, rq->item->file, false);
}

int ext_check_name(struct engine *e, struct request *rq)
{
    struct home_file *f;
    int r = home_file_open(e->account, rq->path, FILE_READ | FILE_SUM, 0, &f, &rq->text);
    return r < 0 ? r : check_begin(e, rq, f, true);
}

/* 1: more is to come; 0: the end of the file or of what was asked for. */
static int check_piece(struct engine *e, struct checking *c, uint8_t *buf)
{
    uint64_t want = MIN(MIN(c->left, c->block_left), (uint64_t)CHECK_PIECE);
    ssize_t n = home_file_read(e->account, c->file, buf, (size_t)want, c->off);

    if (n <= 0)
        return (int)n;
    EVP_DigestUpdate(c->md, buf, (size_t)n);
    c->in_block = true;
    c->off += (uint64_t)n;
    c->left -= (uint64_t)n;
    c->block_left -= (uint64_t)n;
    if (c->block_left == 0) {
        int r = block_end(c);
        c->in_block = false;
        if (r == 0)
            r = block_begin(c);
        if (r < 0)
            return r;
    }
    return c->left > 0;
}

static void check_answer(struct engine *e, struct checking *c)
{
    size_t mark = packet_begin(&e->out, FXP_EXTENDED_REPLY, c->id);
    packet_put_text(&e->out, "check-file");
    packet_put_text(&e->out, algorithms[c->algorithm].wire);
    if (c->sums.len > 0)
        queue_add(&e->out, queue_bytes(&c->sums), c->sums.len);
    packet_end(&e->out, mark);
}

/* The sum of nothing is a sum, too, when the whole range is one block. */
static int check_end(struct checking *c)
{
    return c->in_block || c->block == 0 ? block_end(c) : 0;
}

void checking_step(struct engine *e)
{
    struct checking *c = &e->checking;
    uint8_t *buf = malloc(CHECK_PIECE);
    int r = buf ? 1 : -ENOMEM;

    for (int i = 0; r == 1 && i < CHECK_PIECES_A_STEP; i++)
        r = check_piece(e, c, buf);
    free(buf);
    activity_touch(e->account->activity);
    if (r == 1)
        return;
    if (r == 0)
        r = check_end(c);
    if (r == 0)
        check_answer(e, c);
    else
        reply_status(e, c->id, r, r == -E2BIG ? "too many blocks: ask for larger ones" : NULL);
    checking_done(e);
}

void checking_abort(struct engine *e)
{
    if (e->checking.active)
        checking_done(e);
}
