/* API keys (contract/rest.md §1.1 rows 43-45, §2.6). The secret is shown once, by the reply that made it. */
#include <stdio.h>

#include "api/handlers.h"
#include "api/reply.h"
#include "api/shapes.h"
#include "store/secret.h"

int on_api_keys_list(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    return list_write(rq, &(struct list_kind){ api_keys_page, NULL, DOMAIN_NONE, NULL }, out);
}

int on_api_key_get(struct http_request *rq, void *in, struct strbuf *out)
{
    struct api_key k;

    (void)in;
    int r = api_key_load(rq->apid->store, rq->param, &k);
    if (r < 0)
        return r;
    reply_object(out, &api_key_schema, &k);
    api_key_done(&k);
    return 0;
}

int on_api_key_post(struct http_request *rq, void *in, struct strbuf *out)
{
    CLEANUP(mem_free) char *id = NULL;
    CLEANUP(secret_text_free) char *secret = NULL;
    char key[128];

    int r = said_why(rq, api_key_add(rq->apid->store, in, &id, &secret, &rq->why));
    if (r != 0)
        return r;
    snprintf(key, sizeof(key), "%s.%s", id, secret);
    reply_header(rq, "Location", "/api/v2/apikeys/%s", id);
    reply_header(rq, "X-Object-ID", "%s", id);
    reply_object(
        out, &api_key_new_schema,
        &(struct api_key_new_shape){
            .message = (char *)"API key created. This is the only time it is shown, please save it.", .key = key });
    return 0;
}

int on_api_key_put_load(struct http_request *rq, void *obj)
{
    return api_key_load(rq->apid->store, rq->param, obj);
}

int on_api_key_put(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)out;
    return said_why(rq, api_key_update(rq->apid->store, in, &rq->why));
}

int on_api_key_delete(struct http_request *rq, void *in, struct strbuf *out)
{
    (void)in;
    (void)out;
    return api_key_remove(rq->apid->store, rq->param);
}
