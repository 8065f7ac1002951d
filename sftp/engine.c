/* Frames, dispatch, replies. Each request is looked up in a table (ops.c): the row says whose rights count, so that a
 * handler only does its work.
 *
 * A packet longer than PACKET_MAX, or a first packet that is not INIT, ends the channel: nobody knows where the next
 * packet begins. Anything else that is wrong is answered with a status, and the session goes on. */
#include "sftp/engine.h"

#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "base/problem.h"
#include "sftp/request.h"

enum {
    INPUT_MAX = 4 + PACKET_MAX + 64 * 1024,
    OUTPUT_MAX = ENGINE_OUTPUT_MARK + PACKET_MAX + 64 * 1024,
    STEP_MAX = 64
};

int engine_new(struct account *a, struct engine **ret)
{
    struct engine *e = calloc(1, sizeof(*e));
    if (!e)
        return -ENOMEM;
    *e = (struct engine){ .account = a, .in = QUEUE(INPUT_MAX), .out = QUEUE(OUTPUT_MAX), .notices = NOTICES };
    *ret = e;
    return 0;
}

void engine_free(struct engine *e)
{
    if (!e)
        return;
    checking_abort(e);
    handles_done(&e->handles, e->account);
    queue_done(&e->in);
    queue_done(&e->out);
    notices_done(&e->notices);
    free(e);
}

size_t engine_room(const struct engine *e)
{
    return e->in.max - e->in.len;
}

int engine_feed(struct engine *e, const void *bytes, size_t len)
{
    queue_add(&e->in, bytes, len);
    return e->in.failed;
}

const void *engine_output(const struct engine *e, size_t *ret_len)
{
    *ret_len = e->out.len;
    return e->out.len ? queue_bytes(&e->out) : NULL;
}

void engine_sent(struct engine *e, size_t len)
{
    queue_pass(&e->out, len);
}

const void *engine_notices(const struct engine *e, size_t *ret_len)
{
    *ret_len = e->notices.lines.len;
    return e->notices.lines.len ? queue_bytes(&e->notices.lines) : NULL;
}

void engine_notices_sent(struct engine *e)
{
    queue_pass(&e->notices.lines, e->notices.lines.len);
}

/* A request that takes many steps. */
static bool is_at_work(const struct engine *e)
{
    return e->copying.active || e->checking.active;
}

bool engine_waits(const struct engine *e)
{
    return account_wait_ms(e->account) > 0 && (is_at_work(e) || e->in.len > 0);
}

void engine_trim(struct engine *e)
{
    queue_trim(&e->in);
    queue_trim(&e->out);
    queue_trim(&e->notices.lines);
}

static uint32_t status_code(int r)
{
    if (r > 0)
        return (uint32_t)r;
    if (r == EOF_REACHED)
        return FX_EOF;
    if (r == -EBADMSG)
        return FX_BAD_MESSAGE;
    return r == 0 ? FX_OK : problem_of(r)->sftp;
}

/* A sentence always: a bare "Failure" tells nobody anything. */
static const char *status_text(int r)
{
    if (r == 0 || r == FX_OP_UNSUPPORTED)
        return r == 0 ? "ok" : "not supported";
    if (r == EOF_REACHED)
        return "end of file";
    if (r == -EBADMSG)
        return "malformed request";
    const struct problem *p = problem_of(r);
    return p->error ? p->text : error_text(r);
}

void reply_status(struct engine *e, uint32_t id, int r, const char *text)
{
    size_t mark = packet_begin(&e->out, FXP_STATUS, id);
    packet_put_u32(&e->out, status_code(r));
    packet_put_text(&e->out, text ? text : status_text(r));
    packet_put_text(&e->out, "en");
    packet_end(&e->out, mark);
}

int reply_name(struct engine *e, const struct request *rq, const char *name)
{
    size_t mark = packet_begin(&e->out, FXP_NAME, rq->id);
    packet_put_u32(&e->out, 1);
    packet_put_text(&e->out, name);
    packet_put_text(&e->out, name);
    attrs_put_none(&e->out);
    packet_end(&e->out, mark);
    return ANSWERED;
}

int reply_attrs(struct engine *e, const struct request *rq, const struct stat *st)
{
    size_t mark = packet_begin(&e->out, FXP_ATTRS, rq->id);
    attrs_put(&e->out, st);
    packet_end(&e->out, mark);
    return ANSWERED;
}

int reply_handle(struct engine *e, const struct request *rq, const uint8_t name[HANDLE_BYTES])
{
    size_t mark = packet_begin(&e->out, FXP_HANDLE, rq->id);
    packet_put_bytes(&e->out, name, HANDLE_BYTES);
    packet_end(&e->out, mark);
    return ANSWERED;
}

int request_path(struct request *rq, char **ret)
{
    CLEANUP(mem_free) char *text = NULL;
    int r = packet_text(&rq->in, PATH_MAX - 1, &text);
    if (r < 0)
        return r == -EINVAL ? -ENAMETOOLONG : r;
    return path_clean(text, ret);
}

static int request_prepare_path(struct engine *e, struct request *rq, const struct sftp_op *op)
{
    int r = request_path(rq, &rq->path);
    if (r < 0)
        return r;
    if (op->where == CHECKS_ITSELF)
        return 0;
    r = home_place(&e->account->home, rq->path, op->follow, &rq->at);
    if (r < 0)
        return r;
    rq->rights = op->where == ON_SELF ? account_rights_at(e->account, rq->path, rq->at.path)
                                      : account_rights(e->account, rq->path, rq->at.path);
    return op->any_of && !(rq->rights & op->any_of) ? -EACCES : 0;
}

static int request_prepare_handle(struct engine *e, struct request *rq)
{
    size_t len;
    const uint8_t *name = packet_bytes(&rq->in, &len);
    if (!name)
        return -EBADMSG;
    rq->item = handles_find(&e->handles, name, len);
    if (!rq->item) {
        rq->text = "no such handle";
        return -EINVAL;
    }
    return 0;
}

static int request_run(struct engine *e, struct request *rq, const struct sftp_op *op)
{
    int r = 0;
    if (op->mutates && e->account->read_only)
        return -EROFS;
    if (op->where == ON_HANDLE)
        r = request_prepare_handle(e, rq);
    else if (op->where != ON_NOTHING)
        r = request_prepare_path(e, rq, op);
    return r < 0 ? r : op->handle(e, rq);
}

static const struct sftp_op *request_op(uint8_t type, struct request *rq)
{
    if (type != FXP_EXTENDED)
        return sftp_op_of(type);
    size_t len;
    const uint8_t *name = packet_bytes(&rq->in, &len);
    return name ? extension_of(name, len) : NULL;
}

void file_notice(struct engine *e, struct home_file *f, int r, const char *text)
{
    if (!notice_wanted(r) || f->told)
        return;
    f->told = true;
    notice_add(&e->notices, f->path, r, text);
}

static void request_notice(struct engine *e, const struct request *rq, int r)
{
    if (rq->item && rq->item->file)
        file_notice(e, rq->item->file, r, rq->text);
    else if (rq->path && notice_wanted(r))
        notice_add(&e->notices, rq->path, r, rq->text);
}

static void request_answer(struct engine *e, uint8_t type, struct packet_in in)
{
    struct request rq = { .at.dir = -1 };

    rq.id = packet_u32(&in);
    rq.in = in;
    activity_touch(e->account->activity);
    const struct sftp_op *op = request_op(type, &rq);
    int r = op ? request_run(e, &rq, op) : FX_OP_UNSUPPORTED;
    if (r != ANSWERED)
        reply_status(e, rq.id, r, rq.text);
    if (r < 0)
        request_notice(e, &rq, r);
    home_place_done(&rq.at);
    free(rq.path);
}

static int greet(struct engine *e, uint8_t type, struct packet_in *in)
{
    packet_u32(in); /* their version: 3 is the least of both */
    if (type != FXP_INIT || !packet_ok(in))
        return -EPROTO;
    e->greeted = true;
    size_t mark = e->out.len;
    packet_put_u32(&e->out, 0);
    packet_put_u8(&e->out, FXP_VERSION);
    packet_put_u32(&e->out, 3);
    for (const struct sftp_op *x = extensions; x->name; x++) {
        if (!x->version)
            continue;
        packet_put_text(&e->out, x->name);
        packet_put_text(&e->out, x->version);
    }
    packet_end(&e->out, mark);
    return 0;
}

/* 1: one packet was dealt with; 0: none is complete. */
static int packet_step(struct engine *e)
{
    if (e->in.len < 4)
        return 0;
    struct packet_in in = { .p = queue_bytes(&e->in), .left = e->in.len };
    uint32_t len = packet_u32(&in);
    if (len < 1 || len > PACKET_MAX)
        return -EPROTO;
    if (len > in.left)
        return 0;
    in.left = len;
    uint8_t type = packet_u8(&in);
    if (e->greeted && len < 5)
        return -EPROTO; /* no request id: there is nothing to answer */
    int r = 0;
    if (e->greeted)
        request_answer(e, type, in);
    else
        r = greet(e, type, &in);
    queue_pass(&e->in, 4 + (size_t)len);
    return r < 0 ? r : 1;
}

static void work_step(struct engine *e)
{
    if (e->copying.active)
        copying_step(e);
    else
        checking_step(e);
}

int engine_step(struct engine *e)
{
    for (unsigned i = 0; i < STEP_MAX; i++) {
        if (e->out.failed)
            return e->out.failed;
        if (e->out.len >= ENGINE_OUTPUT_MARK || account_wait_ms(e->account) > 0)
            return 0;
        if (is_at_work(e)) {
            work_step(e);
            return 1;
        }
        int r = packet_step(e);
        if (r <= 0)
            return r;
    }
    return 1;
}
