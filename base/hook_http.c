/* HTTP by libcurl, which is loaded at the first use: its two dozen libraries would cost every process that is started
 * from the same file, and each forked session pays for each mapping. Only http and https, no redirects (they could
 * lead a password elsewhere), no signals. */
#include <curl/curl.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdlib.h>
#include <string.h>

#include "base/hook_inside.h"
#include "base/log.h"

enum { URL_MAX = 64 * 1024 };

static struct {
    __typeof__(curl_global_init) *global_init;
    __typeof__(curl_easy_init) *easy_init;
    __typeof__(curl_easy_cleanup) *easy_cleanup;
    __typeof__(curl_easy_setopt) *easy_setopt;
    __typeof__(curl_easy_perform) *easy_perform;
    __typeof__(curl_easy_getinfo) *easy_getinfo;
    __typeof__(curl_easy_strerror) *easy_strerror;
    __typeof__(curl_easy_escape) *easy_escape;
    __typeof__(curl_free) *release;
    __typeof__(curl_slist_append) *slist_append;
    __typeof__(curl_slist_free_all) *slist_free_all;
    bool is_there;
} curl; /* set once by load(), constant after it */

static void load(void)
{
    static const struct {
        const char *name;
        void *to;
    } symbols[] = {
        { "curl_global_init", &curl.global_init },     { "curl_easy_init", &curl.easy_init },
        { "curl_easy_cleanup", &curl.easy_cleanup },   { "curl_easy_setopt", &curl.easy_setopt },
        { "curl_easy_perform", &curl.easy_perform },   { "curl_easy_getinfo", &curl.easy_getinfo },
        { "curl_easy_escape", &curl.easy_escape },     { "curl_free", &curl.release },
        { "curl_slist_append", &curl.slist_append },   { "curl_slist_free_all", &curl.slist_free_all },
        { "curl_easy_strerror", &curl.easy_strerror },
    };
    void *library = dlopen("libcurl.so.4", RTLD_NOW | RTLD_LOCAL);

    for (size_t i = 0; i < ARRAY_SIZE(symbols); i++) {
        void *found = library ? dlsym(library, symbols[i].name) : NULL;
        if (!found) {
            log_error("hooks by HTTP need libcurl (package libcurl4): %s", dlerror());
            return;
        }
        memcpy(symbols[i].to, &found, sizeof(found));
    }
    curl.is_there = curl.global_init(CURL_GLOBAL_DEFAULT) == CURLE_OK;
}

static bool is_there(void)
{
    static pthread_once_t once = PTHREAD_ONCE_INIT;

    pthread_once(&once, load);
    return curl.is_there;
}

static size_t on_data(char *data, size_t size, size_t n, void *arg)
{
    strbuf_add(arg, data, size * n);
    return strbuf_ok(arg) == 0 ? size * n : 0;
}

static void url_make(CURL *c, const struct hook_request *q, struct strbuf *to)
{
    bool first = !strchr(q->hook, '?');

    strbuf_adds(to, q->hook);
    for (size_t i = 0; i < q->values_n; i++) {
        const struct hook_value *v = &q->values[i];
        char *text = v->query ? curl.easy_escape(c, v->value ? v->value : "", 0) : NULL;
        if (text)
            strbuf_addf(to, "%c%s=%s", first ? '?' : '&', v->query, text);
        first = first && !text;
        curl.release(text);
    }
}

#define OPTION(c, o, v) IGNORE(curl.easy_setopt((c), (o), (v)), "libcurl that we were built for has it")

static void options_set(CURL *c, const struct hook_request *q, const char *url, struct strbuf *to)
{
    OPTION(c, CURLOPT_URL, url);
    OPTION(c, CURLOPT_PROTOCOLS_STR, "http,https");
    OPTION(c, CURLOPT_NOSIGNAL, 1L);
    OPTION(c, CURLOPT_TIMEOUT_MS, (long)q->timeout_ms);
    OPTION(c, CURLOPT_MAXFILESIZE, (long)HOOK_ANSWER_MAX);
    OPTION(c, CURLOPT_USERAGENT, "Tally");
    OPTION(c, CURLOPT_WRITEFUNCTION, on_data);
    OPTION(c, CURLOPT_WRITEDATA, to);
    if (q->body) {
        OPTION(c, CURLOPT_POSTFIELDSIZE, (long)strlen(q->body));
        OPTION(c, CURLOPT_POSTFIELDS, q->body);
    }
}

static int error_of(CURLcode code, const struct strbuf *text)
{
    if (code == CURLE_OPERATION_TIMEDOUT)
        return -ETIMEDOUT;
    if (code == CURLE_FILESIZE_EXCEEDED || strbuf_ok(text) < 0)
        return -E2BIG;
    return code == CURLE_OUT_OF_MEMORY ? -ENOMEM : -EHOSTUNREACH;
}

static int perform(CURL *c, const struct hook_request *q, const char *url, struct hook_answer *ret)
{
    struct curl_slist *head = q->body ? curl.slist_append(NULL, "Content-Type: application/json") : NULL;
    struct strbuf text = STRBUF(HOOK_ANSWER_MAX);
    struct hook_answer a = { 0 };
    long status = 0;

    options_set(c, q, url, &text);
    OPTION(c, CURLOPT_HTTPHEADER, head);
    CURLcode code = curl.easy_perform(c);
    int r = code == CURLE_OK ? 0 : error_of(code, &text);
    if (code != CURLE_OK)
        log_debug("hook %s: %s", q->hook, curl.easy_strerror(code));
    if (r == 0)
        IGNORE(curl.easy_getinfo(c, CURLINFO_RESPONSE_CODE, &status), "it has just answered");
    curl.slist_free_all(head);
    a.status = (int)status;
    a.len = text.len;
    if (r == 0)
        r = text.s ? strbuf_take(&text, &a.text) : str_copy(&a.text, "");
    strbuf_done(&text);
    if (r == 0)
        *ret = a;
    return r;
}

int hook_http(const struct hook_request *q, struct hook_answer *ret)
{
    struct strbuf url = STRBUF(URL_MAX);
    CURL *c = is_there() ? curl.easy_init() : NULL;

    if (!c)
        return curl.is_there ? -ENOMEM : -ENOSYS;
    url_make(c, q, &url);
    int r = strbuf_ok(&url);
    if (r == 0)
        r = perform(c, q, url.s, ret);
    strbuf_done(&url);
    curl.easy_cleanup(c);
    return r;
}
