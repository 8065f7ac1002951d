/* A call is sent with the credential that the place has: none on the socket, a token, an API key, or a token that was
 * got for user and password at the first call. 401 with a password means the token has expired, or the server was
 * restarted and signs with another secret: log in again, once.
 *
 * What libcurl and HTTP report are put into words by two tables, since the bare texts ("Couldn't connect to server") do
 * not say what to do. */
#include "tool/client.h"

#include <curl/curl.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/log.h"

struct client {
    CURL *curl;
    char *socket, *base; /* one of them; base is without a slash at its end */
    char *user, *password, *otp, *token, *api_key, *ca_file;
    bool owns_token; /* it was got here, for the password */
    bool (*stop)(void *);
    void *stop_arg;
    char said[1024];
};

/* ---- life ---- */

static void wipe(char **s)
{
    if (*s != NULL)
        explicit_bzero(*s, strlen(*s));
    free(*s);
    *s = NULL;
}

void client_free(struct client *c)
{
    if (c == NULL)
        return;
    curl_easy_cleanup(c->curl);
    free(c->socket);
    free(c->base);
    free(c->user);
    free(c->ca_file);
    free(c->otp);
    wipe(&c->password);
    wipe(&c->token);
    wipe(&c->api_key);
    free(c);
}

/* "http://host:8080/api/v2/" is taken for "http://host:8080". */
static void base_trim(char *base)
{
    static const char prefix[] = "/api/v2";
    size_t len = strlen(base);

    while (len > 0 && base[len - 1] == '/')
        base[--len] = '\0';
    if (len >= sizeof prefix && strcmp(base + len - (sizeof prefix - 1), prefix) == 0)
        base[len - (sizeof prefix - 1)] = '\0';
}

static int client_copy(struct client *c, const struct client_place *p)
{
    const struct {
        char **to;
        const char *from;
    } rows[] = {
        { &c->socket, p->url ? NULL : p->socket },
        { &c->base, p->url ? p->url : "http://tally" },
        { &c->user, p->user },
        { &c->password, p->password },
        { &c->otp, p->otp },
        { &c->token, p->token },
        { &c->api_key, p->api_key },
        { &c->ca_file, p->ca_file },
    };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        int r = str_copy(rows[i].to, rows[i].from);
        if (r < 0)
            return r;
    }
    base_trim(c->base);
    return 0;
}

int client_new(const struct client_place *place, struct client **ret)
{
    struct client *c = calloc(1, sizeof *c);

    if (c == NULL)
        return -ENOMEM;
    int r = client_copy(c, place);
    if (r == 0 && (curl_global_init(CURL_GLOBAL_DEFAULT) != CURLE_OK || (c->curl = curl_easy_init()) == NULL))
        r = -ENOMEM;
    if (r < 0) {
        client_free(c);
        return r;
    }
    *ret = c;
    return 0;
}

const char *client_said(const struct client *c)
{
    return c->said;
}

const char *client_where(const struct client *c)
{
    return c->socket ? c->socket : c->base;
}

void client_stop_when(struct client *c, bool (*stop)(void *), void *arg)
{
    c->stop = stop;
    c->stop_arg = arg;
}

static int say(struct client *c, int r, const char *fmt, ...) PRINTF(3, 4);
static int say(struct client *c, int r, const char *fmt, ...)
{
    va_list ap;

    va_start(ap, fmt);
    vsnprintf(c->said, sizeof c->said, fmt, ap);
    va_end(ap);
    return r;
}

/* ---- sending ---- */

/* What one request needs and must be released. */
struct exchange {
    struct strbuf url;
    struct strbuf *answer; /* borrowed */
    struct curl_slist *headers;
    char reason[CURL_ERROR_SIZE];
    long status;
};

static size_t on_bytes(char *bytes, size_t size, size_t n, void *arg)
{
    struct strbuf *answer = arg;

    strbuf_add(answer, bytes, size * n);
    return strbuf_ok(answer) == 0 ? size * n : 0;
}

static int on_progress(void *arg, curl_off_t down_all, curl_off_t down, curl_off_t up_all, curl_off_t up)
{
    struct client *c = arg;

    (void)down_all;
    (void)down;
    (void)up_all;
    (void)up;
    return c->stop != NULL && c->stop(c->stop_arg) ? 1 : 0;
}

static void put_segment(struct strbuf *to, const char *s)
{
    static const char plain[] = "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789-_.~";

    strbuf_addc(to, '/');
    /* "." and ".." would be folded away by whoever is in between */
    if (strcmp(s, ".") == 0 || strcmp(s, "..") == 0) {
        strbuf_adds(to, s[1] == '\0' ? "%2E" : "%2E%2E");
        return;
    }
    for (; *s != '\0'; s++)
        if (strchr(plain, *s) != NULL)
            strbuf_addc(to, *s);
        else
            strbuf_addf(to, "%%%02X", (unsigned char)*s);
}

static void put_url(struct client *c, const struct call *call, struct strbuf *to)
{
    strbuf_addf(to, "%s/api/v2", c->base);
    for (size_t i = 0; i < CLIENT_SEGMENTS_MAX && call->path[i] != NULL; i++)
        put_segment(to, call->path[i]);
    if (call->query != NULL && call->query[0] != '\0')
        strbuf_addf(to, "?%s", call->query);
}

static int add_header(struct exchange *x, const char *name, const char *value)
{
    struct strbuf line = STRBUF(16384);

    strbuf_addf(&line, "%s: %s", name, value);
    struct curl_slist *longer = strbuf_ok(&line) == 0 ? curl_slist_append(x->headers, line.s) : NULL;
    if (line.s != NULL)
        explicit_bzero(line.s, line.len);
    strbuf_done(&line);
    if (longer == NULL)
        return -ENOMEM;
    x->headers = longer;
    return 0;
}

static int add_credential(struct client *c, struct exchange *x, bool is_login)
{
    struct strbuf bearer = STRBUF(16384);
    int r = 0;

    if (is_login)
        return c->otp != NULL ? add_header(x, "X-SFTPGO-OTP", c->otp) : 0;
    if (c->api_key != NULL)
        return add_header(x, "X-SFTPGO-API-KEY", c->api_key);
    if (c->token == NULL)
        return 0;
    strbuf_addf(&bearer, "Bearer %s", c->token);
    r = strbuf_ok(&bearer) == 0 ? add_header(x, "Authorization", bearer.s) : -ENOMEM;
    strbuf_done(&bearer);
    return r;
}

static void set_body(struct client *c, const struct call *call)
{
    const char *text = call->raw_body;
    size_t len = call->raw_len;

    if (text == NULL && call->body != NULL) {
        text = json_object_to_json_string_ext(call->body, JSON_C_TO_STRING_PLAIN | JSON_C_TO_STRING_NOSLASHESCAPE);
        len = strlen(text);
    }
    if (text == NULL && strcmp(call->method, "GET") != 0 && strcmp(call->method, "DELETE") != 0)
        text = "";
    if (text == NULL)
        return;
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDSIZE_LARGE, (curl_off_t)len);
    curl_easy_setopt(c->curl, CURLOPT_POSTFIELDS, text);
}

static void set_options(struct client *c, const struct call *call, struct exchange *x, bool is_login)
{
    CURL *h = c->curl;

    curl_easy_reset(h); /* keeps the connection */
    curl_easy_setopt(h, CURLOPT_URL, x->url.s);
    curl_easy_setopt(h, CURLOPT_NOSIGNAL, 1L);
    curl_easy_setopt(h, CURLOPT_PROTOCOLS_STR, "http,https");
    curl_easy_setopt(h, CURLOPT_CONNECTTIMEOUT, (long)CLIENT_CONNECT_S);
    curl_easy_setopt(h, CURLOPT_TIMEOUT, (long)(call->is_long ? CLIENT_LONG_S : CLIENT_CALL_S));
    curl_easy_setopt(h, CURLOPT_USERAGENT, "tally/" TALLY_VERSION);
    curl_easy_setopt(h, CURLOPT_ERRORBUFFER, x->reason);
    curl_easy_setopt(h, CURLOPT_WRITEFUNCTION, on_bytes);
    curl_easy_setopt(h, CURLOPT_WRITEDATA, x->answer);
    curl_easy_setopt(h, CURLOPT_NOPROGRESS, 0L);
    curl_easy_setopt(h, CURLOPT_XFERINFOFUNCTION, on_progress);
    curl_easy_setopt(h, CURLOPT_XFERINFODATA, c);
    if (c->socket != NULL) {
        curl_easy_setopt(h, CURLOPT_UNIX_SOCKET_PATH, c->socket);
        curl_easy_setopt(h, CURLOPT_NOPROXY, "*");
    }
    if (c->ca_file != NULL)
        curl_easy_setopt(h, CURLOPT_CAINFO, c->ca_file);
    if (is_login) {
        curl_easy_setopt(h, CURLOPT_HTTPAUTH, (long)CURLAUTH_BASIC);
        curl_easy_setopt(h, CURLOPT_USERNAME, c->user);
        curl_easy_setopt(h, CURLOPT_PASSWORD, c->password);
    }
    set_body(c, call);
    curl_easy_setopt(h, CURLOPT_CUSTOMREQUEST, call->method);
    curl_easy_setopt(h, CURLOPT_HTTPHEADER, x->headers);
}

/* ---- what went wrong, in words ---- */

static int explain_connect(struct client *c, const struct exchange *x)
{
    long error = 0;

    curl_easy_getinfo(c->curl, CURLINFO_OS_ERRNO, &error);
    if (c->socket == NULL)
        return say(c, -ENOTCONN, "cannot connect to %s (%s): is tallyd running there, and is the port right?", c->base,
                   error != 0 ? error_text((int)error) : x->reason);
    if (error == EACCES || error == EPERM)
        return say(c, -EACCES,
                   "you may not use %s: be root or a member of the group that owns it, or log in with --url and --user",
                   c->socket);
    return say(c, -ENOTCONN,
               "cannot connect to %s (%s): is tallyd running? Another socket: --socket PATH, another machine: --url",
               c->socket, error != 0 ? error_text((int)error) : x->reason);
}

static const struct {
    CURLcode code;
    int r;
    const char *advice;
} curl_rows[] = {
    { CURLE_ABORTED_BY_CALLBACK, -ECANCELED, "stopped" },
    { CURLE_OPERATION_TIMEDOUT, -ENOTCONN, "no answer in time: is tallyd overloaded, or a firewall in between?" },
    { CURLE_COULDNT_RESOLVE_HOST, -ENOTCONN, "is the name in --url right?" },
    { CURLE_URL_MALFORMAT, -EINVAL, "--url wants something like http://127.0.0.1:8080" },
    { CURLE_UNSUPPORTED_PROTOCOL, -EINVAL, "--url wants http:// or https://" },
    { CURLE_PEER_FAILED_VERIFICATION, -ENOTCONN,
      "its certificate is not trusted here: --ca-file FILE names who signed it" },
    { CURLE_SSL_CACERT_BADFILE, -EINVAL, "--ca-file cannot be read" },
    { CURLE_SSL_CONNECT_ERROR, -ENOTCONN, "no TLS there: is it http:// instead of https://?" },
    { CURLE_WRITE_ERROR, -EIO, "the answer is larger than this program takes" },
};

static int explain_curl(struct client *c, CURLcode code, const struct exchange *x)
{
    const char *reason = x->reason[0] != '\0' ? x->reason : curl_easy_strerror(code);

    if (code == CURLE_COULDNT_CONNECT)
        return explain_connect(c, x);
    for (size_t i = 0; i < ARRAY_SIZE(curl_rows); i++)
        if (curl_rows[i].code == code)
            return say(c, curl_rows[i].r, "%s: %s; %s", client_where(c), reason, curl_rows[i].advice);
    return say(c, -ENOTCONN, "the connection to %s was lost (%s): was tallyd stopped or restarted?", client_where(c),
               reason);
}

static int explain_unauthorized(struct client *c, const char *text, bool is_login)
{
    if (is_login)
        return say(c, -EACCES, "%s refuses user \"%s\": %s%s", client_where(c), c->user, text,
                   c->otp == NULL ? " (is a second factor wanted? --otp CODE)" : "");
    if (c->api_key != NULL)
        return say(c, -EACCES, "%s refuses the API key: %s", client_where(c), text);
    if (c->token != NULL)
        return say(c, -EACCES, "%s refuses the token: %s (they live for 20 minutes: get a new one, or use --user)",
                   client_where(c), text);
    return say(c, -EACCES, "%s wants to know who you are: --user NAME, --token TOKEN or --api-key KEY",
               client_where(c));
}

static int errno_of(long status)
{
    static const struct {
        long status;
        int r;
    } rows[] = { { 400, -EINVAL }, { 403, -EACCES }, { 404, -ENOENT }, { 409, -EEXIST }, { 405, -EOPNOTSUPP } };

    for (size_t i = 0; i < ARRAY_SIZE(rows); i++)
        if (rows[i].status == status)
            return rows[i].r;
    return status >= 500 ? -EIO : -EINVAL;
}

/* The server's own words: `error`, or `message` where that is empty. */
static int explain_status(struct client *c, const struct exchange *x, bool is_login)
{
    CLEANUP(json_put_p) struct json_object *j = NULL;
    struct why why;
    char text[600];
    int r = x->answer->len > 0 ? json_in(x->answer->s, x->answer->len, JSON_WHOLE, &j, &why) : -EINVAL;
    const char *error = r == 0 ? json_text(j, "error") : NULL;

    if (error == NULL || error[0] == '\0')
        error = r == 0 ? json_text(j, "message") : NULL;
    if (error == NULL || error[0] == '\0')
        snprintf(text, sizeof text, "HTTP status %ld", x->status);
    else
        str_set(text, sizeof text, error);
    if (x->status == 401)
        return explain_unauthorized(c, text, is_login);
    if (x->status == 403)
        return say(c, -EACCES, "not permitted: %s", text);
    if (x->status == 405 || (x->status == 404 && r < 0))
        return say(c, errno_of(x->status), "%s does not know this request: is its tallyd older than this tally?",
                   client_where(c));
    return say(c, errno_of(x->status), "%s", text);
}

/* ---- calls ---- */

static int perform(struct client *c, const struct call *call, bool is_login, struct exchange *x)
{
    put_url(c, call, &x->url);
    int r = strbuf_ok(&x->url);
    if (r == 0)
        r = add_credential(c, x, is_login);
    if (r == 0 && (call->body != NULL || call->raw_body != NULL))
        r = add_header(x, "Content-Type", "application/json");
    if (r == 0)
        r = add_header(x, "Expect", "");
    if (r < 0)
        return say(c, r, "%s", error_text(r));
    set_options(c, call, x, is_login);
    CURLcode code = curl_easy_perform(c->curl);
    if (code != CURLE_OK)
        return explain_curl(c, code, x);
    curl_easy_getinfo(c->curl, CURLINFO_RESPONSE_CODE, &x->status);
    return x->status >= 200 && x->status < 300 ? 0 : explain_status(c, x, is_login);
}

/* *ret_status (may be NULL) is set when the server answered. */
static int send_once(struct client *c, const struct call *call, bool is_login, struct strbuf *answer, long *ret_status)
{
    struct exchange x = { .url = STRBUF(16384), .answer = answer };

    strbuf_reset(answer);
    int r = perform(c, call, is_login, &x);
    if (ret_status != NULL)
        *ret_status = x.status;
    strbuf_done(&x.url);
    curl_slist_free_all(x.headers);
    return r;
}

static int answer_parse(struct client *c, const struct strbuf *answer, struct json_object **ret)
{
    struct why why = { 0 };

    if (answer->len == 0) {
        *ret = NULL;
        return 0;
    }
    if (json_in(answer->s, answer->len, JSON_WHOLE, ret, &why) < 0)
        return say(c, -EIO, "%s does not speak Tally's API (is the port right?): the answer is no JSON: %s",
                   client_where(c), why.text);
    return 0;
}

static int log_in(struct client *c)
{
    const struct call call = { .method = "GET", .path = { "token" } };
    CLEANUP(json_put_p) struct json_object *j = NULL;
    struct strbuf answer = STRBUF(1 << 20);
    int r = send_once(c, &call, true, &answer, NULL);

    if (r == 0)
        r = answer_parse(c, &answer, &j);
    if (r == 0 && json_text(j, "access_token") == NULL)
        r = say(c, -EIO, "%s gave no token: is it Tally's API?", client_where(c));
    if (r == 0) {
        wipe(&c->token);
        r = str_copy(&c->token, json_text(j, "access_token"));
        c->owns_token = true;
    }
    if (answer.s != NULL)
        explicit_bzero(answer.s, answer.len);
    strbuf_done(&answer);
    return r;
}

int client_call_raw(struct client *c, const struct call *call, struct strbuf *ret)
{
    bool can_log_in = c->password != NULL && c->api_key == NULL;
    long status = 0;
    int r = can_log_in && c->token == NULL ? log_in(c) : 0;

    if (r == 0)
        r = send_once(c, call, false, ret, &status);
    if (status == 401 && can_log_in && c->owns_token) {
        r = log_in(c);
        if (r == 0)
            r = send_once(c, call, false, ret, &status);
    }
    return r;
}

int client_call(struct client *c, const struct call *call, struct json_object **ret)
{
    struct strbuf answer = STRBUF(CLIENT_BODY_MAX);
    struct json_object *j = NULL;
    int r = client_call_raw(c, call, &answer);

    if (r == 0)
        r = answer_parse(c, &answer, &j);
    strbuf_done(&answer);
    if (r == 0 && ret != NULL)
        *ret = j;
    else
        json_object_put(j);
    return r;
}
