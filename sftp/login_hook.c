#include "sftp/login_hook.h"

#include <openssl/crypto.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"
#include "store/password.h"

enum { LATER_THREADS = 2, SCOPE_SSH = 1, SCOPE_FAILED = 1, SCOPE_OK = 2, BODY_MAX = 1 << 20 };
enum { STATUS_NO, STATUS_YES, STATUS_OTHER };

struct login_hooks {
    const struct config *config;
    uid_t uid;
    gid_t gid;
    struct hook_queue *later;
};

static bool is_set(const char *hook)
{
    return hook && hook[0];
}

int login_hooks_new(const struct config *config, uid_t uid, gid_t gid, struct login_hooks **ret)
{
    struct login_hooks *h = calloc(1, sizeof(*h));
    bool later = is_set(config->common.post_disconnect_hook) || is_set(config->data_provider.post_login_hook);

    if (!h)
        return -ENOMEM;
    *h = (struct login_hooks){ .config = config, .uid = uid, .gid = gid };
    int r = later ? hook_queue_new(LATER_THREADS, &h->later) : 0;
    if (r < 0) {
        free(h);
        return r;
    }
    *ret = h;
    return 0;
}

void login_hooks_free(struct login_hooks *h)
{
    if (!h)
        return;
    hook_queue_free(h->later);
    free(h);
}

bool login_hooks_block(const struct login_hooks *h)
{
    return is_set(h->config->common.post_connect_hook) || is_set(h->config->data_provider.check_password_hook);
}

static struct hook_request request(const struct login_hooks *h, const char *hook, const struct hook_value *v, size_t n,
                                   unsigned timeout_ms)
{
    return (struct hook_request){
        .hook = hook, .values = v, .values_n = n, .timeout_ms = timeout_ms, .uid = h->uid, .gid = h->gid
    };
}

bool hook_post_connect(struct login_hooks *h, const char *ip)
{
    const char *hook = h ? h->config->common.post_connect_hook : NULL;
    const struct hook_value v[] = { { "SFTPGO_CONNECTION_IP", "ip", ip },
                                    { "SFTPGO_CONNECTION_PROTOCOL", "protocol", "SSH" } };
    struct hook_answer a = { 0 };

    if (!is_set(hook))
        return true;
    const struct hook_request q = request(h, hook, v, ARRAY_SIZE(v), CONNECT_HOOK_MS);
    int r = hook_run(&q, &a);
    bool may = r == 0 && hook_accepted(&q, &a);
    if (r < 0)
        log_fail(r, "common.post_connect_hook %s: the connection from %s is refused", hook, ip);
    hook_answer_done(&a);
    return may;
}

void hook_post_disconnect(struct login_hooks *h, const char *ip, const char *username, int64_t duration_ms)
{
    char ms[24];

    if (!h || !is_set(h->config->common.post_disconnect_hook))
        return;
    snprintf(ms, sizeof(ms), "%lld", (long long)duration_ms);
    const struct hook_value v[] = { { "SFTPGO_CONNECTION_IP", "ip", ip },
                                    { "SFTPGO_CONNECTION_PROTOCOL", "protocol", "SSH" },
                                    { "SFTPGO_CONNECTION_USERNAME", "username", username },
                                    { "SFTPGO_CONNECTION_DURATION", "connection_duration", ms } };
    const struct hook_request q = request(h, h->config->common.post_disconnect_hook, v, ARRAY_SIZE(v), CONNECT_HOOK_MS);
    IGNORE(hook_later(h->later, &q), "logged");
}

/* The user's record as hooks see it: without password, keys stay. */
static int user_text(const struct user *u, struct strbuf *to)
{
    struct user shown = *u; /* borrows */
    struct json_out out = { .to = to, .first = true };

    shown.password = NULL;
    shown.filters.totp_config = (struct totp_config){ 0 };
    shown.filters.recovery_codes = (struct objects){ 0 };
    schema_write(&user_schema, &shown, SHOW_API, &out);
    return strbuf_ok(to);
}

void hook_post_login(struct login_hooks *h, const struct user *user, const char *ip, const char *method, bool is_ok)
{
    uint32_t scope = h ? h->config->data_provider.post_login_scope : 0;
    struct strbuf text = STRBUF(BODY_MAX);

    if (!h || !is_set(h->config->data_provider.post_login_hook) ||
        (scope != 0 && scope != (is_ok ? SCOPE_OK : SCOPE_FAILED)))
        return;
    if (user_text(user, &text) == 0) {
        const struct hook_value v[] = { { "SFTPGO_LOGIND_USER", NULL, text.s },
                                        { "SFTPGO_LOGIND_IP", "ip", ip },
                                        { "SFTPGO_LOGIND_METHOD", "login_method", method },
                                        { "SFTPGO_LOGIND_STATUS", "status", is_ok ? "1" : "0" },
                                        { "SFTPGO_LOGIND_PROTOCOL", "protocol", "SSH" } };
        struct hook_request q = request(h, h->config->data_provider.post_login_hook, v, ARRAY_SIZE(v), CONNECT_HOOK_MS);
        q.body = text.s;
        IGNORE(hook_later(h->later, &q), "logged");
    }
    strbuf_done(&text);
}

/* ---- passwords ---- */

static int question_text(const struct user *u, const char *password, const char *ip, struct strbuf *to)
{
    struct json_out out = { .to = to, .first = true };

    json_begin(&out, '{');
    json_name_str(&out, "username", u->username);
    json_name_str(&out, "password", password);
    json_name_str(&out, "ip", ip);
    json_name_str(&out, "protocol", "SSH");
    json_end(&out, '}');
    return strbuf_ok(to);
}

static enum hook_says answer_parse(const struct hook_answer *a, char **ret_other)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    struct why why;

    if (json_in(a->text, a->len, JSON_WHOLE, &j, &why) < 0) {
        log_error("data_provider.check_password_hook: its answer is no JSON");
        return HOOK_NO;
    }
    switch (json_number(j, "status", STATUS_NO)) {
    case STATUS_YES:
        return HOOK_YES;
    case STATUS_OTHER:
        return str_copy(ret_other, json_text(j, "to_verify")) == 0 && *ret_other ? HOOK_OTHER : HOOK_NO;
    default:
        return HOOK_NO;
    }
}

static enum hook_says ask_password(struct login_hooks *h, const struct hook_request *q, char **ret_other)
{
    struct hook_answer a = { 0 };
    int r = hook_run(q, &a);
    enum hook_says says = r == 0 && hook_accepted(q, &a) ? answer_parse(&a, ret_other) : HOOK_NO;

    (void)h;
    if (r < 0)
        log_fail(r, "data_provider.check_password_hook %s: the password counts as wrong", q->hook);
    hook_answer_done(&a);
    return says;
}

enum hook_says hook_check_password(struct login_hooks *h, const struct user *u, const char *password, const char *ip,
                                   char **ret_other)
{
    const char *hook = h ? h->config->data_provider.check_password_hook : NULL;
    uint32_t scope = h ? h->config->data_provider.check_password_scope : 0;
    struct strbuf body = STRBUF(BODY_MAX);
    enum hook_says says = HOOK_NO;

    if (!is_set(hook) || (scope != 0 && !(scope & SCOPE_SSH)) || u->filters.hooks.check_password_disabled)
        return HOOK_NONE;
    if (question_text(u, password, ip, &body) == 0) {
        const struct hook_value v[] = { { "SFTPGO_AUTHD_USERNAME", NULL, u->username },
                                        { "SFTPGO_AUTHD_PASSWORD", NULL, password },
                                        { "SFTPGO_AUTHD_IP", NULL, ip },
                                        { "SFTPGO_AUTHD_PROTOCOL", NULL, "SSH" } };
        struct hook_request q = request(h, hook, v, ARRAY_SIZE(v), LOGIN_HOOK_MS);
        q.body = body.s;
        says = ask_password(h, &q, ret_other);
    }
    if (body.s)
        OPENSSL_cleanse(body.s, body.len);
    strbuf_done(&body);
    return says;
}
