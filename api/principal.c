/* Administrators and users as the API sees them for the length of a request: the row, and what follows from it. */
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>

#include "api/auth.h"
#include "base/sys.h"

enum { SUB_TEXT_MAX = 4096, LIST_TEXT_MAX = 1 << 20 };

static struct principal *principal_new(enum holder kind)
{
    struct principal *p = calloc(1, sizeof(*p));

    if (p == NULL)
        return NULL;
    atomic_init(&p->refs, 1);
    p->kind = kind;
    return p;
}

struct principal *principal_ref(struct principal *p)
{
    atomic_fetch_add_explicit(&p->refs, 1, memory_order_relaxed);
    return p;
}

void principal_unref(struct principal *p)
{
    if (p == NULL || atomic_fetch_sub_explicit(&p->refs, 1, memory_order_acq_rel) != 1)
        return;
    if (p->kind == HOLDER_ADMIN)
        admin_done(&p->admin);
    else
        user_done(&p->user);
    free(p);
}

struct principal *principal_local(void)
{
    struct principal *p = principal_new(HOLDER_ADMIN);
    if (p == NULL)
        return NULL;

    p->admin.username = strdup("");
    if (p->admin.username == NULL) {
        principal_unref(p);
        return NULL;
    }
    p->username = p->admin.username;
    p->admin.status = 1;
    p->perms = ADM_ALL;
    p->is_local = true;
    return p;
}

static int allow_list_hash(const struct strings *l, char ret[TOKEN_HASH_LEN + 1])
{
    CLEANUP(strbuf_done) struct strbuf all = STRBUF(LIST_TEXT_MAX);

    for (size_t i = 0; i < l->n; i++)
        strbuf_addf(&all, "%s\n", l->v[i]);
    int r = strbuf_ok(&all);
    if (r == 0)
        token_signature("allow_list\n", all.len > 0 ? all.s : "", ret);
    return r;
}

int principal_of_admin(struct admin *row, struct principal **ret)
{
    struct principal *p = principal_new(HOLDER_ADMIN);
    if (p == NULL) {
        admin_done(row);
        return -ENOMEM;
    }

    p->admin = *row;
    p->username = p->admin.username;
    p->password = p->admin.password;
    p->permissions = p->admin.permissions;
    token_signature(p->username, p->password != NULL ? p->password : "", p->sub);
    int r = perms_of(admin_perms, &p->permissions, &p->perms);
    if (r == 0)
        r = allow_list_hash(&p->admin.filters.allow_list, p->allow_list_hash);
    if (r < 0) {
        principal_unref(p);
        return r == -EINVAL ? -EIO : r; /* a row that says what does not exist */
    }
    *ret = p;
    return 0;
}

/* contract/rest.md §2.2: a user's token ends with name, status, expiration and password. */
static int user_sub(const struct user *u, char ret[TOKEN_HASH_LEN + 1])
{
    CLEANUP(strbuf_done) struct strbuf text = STRBUF(SUB_TEXT_MAX);

    strbuf_adds(&text, u->username);
    strbuf_addi(&text, u->status);
    strbuf_addi(&text, u->expiration_date_ms);
    int r = strbuf_ok(&text);
    if (r == 0)
        token_signature(text.s, u->password != NULL ? u->password : "", ret);
    return r;
}

int principal_of_user(struct user *row, struct principal **ret)
{
    struct principal *p = principal_new(HOLDER_USER);
    if (p == NULL) {
        user_done(row);
        return -ENOMEM;
    }

    p->user = *row;
    p->username = p->user.username;
    p->password = p->user.password;
    p->permissions = p->user.filters.web_client;
    int r = user_sub(&p->user, p->sub);
    if (r < 0) {
        principal_unref(p);
        return r;
    }
    *ret = p;
    return 0;
}

bool principal_may_come_from(const struct principal *p, const char *address)
{
    const struct strings *l = &p->admin.filters.allow_list;

    return p->kind == HOLDER_USER || l->n == 0 || address_in(l, address);
}

const char *principal_refusal(const struct principal *p, const char *method, const char *address)
{
    if (p->kind == HOLDER_USER)
        return user_login_refusal(&p->user, method, "HTTP", address, sys->wall_ms());
    if (p->admin.status != 1)
        return "the administrator is disabled";
    return principal_may_come_from(p, address) ? NULL : "the address is not in the administrator's allow list";
}

const struct totp_config *principal_totp(const struct principal *p)
{
    return p->kind == HOLDER_USER ? &p->user.filters.totp_config : &p->admin.filters.totp_config;
}

bool principal_wants_code(const struct principal *p)
{
    const struct totp_config *t = principal_totp(p);

    return t->enabled && (p->kind == HOLDER_ADMIN || strings_has(&t->protocols, "HTTP"));
}

bool principal_takes_api_keys(const struct principal *p)
{
    return p->kind == HOLDER_USER ? p->user.filters.allow_api_key_auth : p->admin.filters.allow_api_key_auth;
}

int64_t principal_last_login(const struct principal *p)
{
    return p->kind == HOLDER_USER ? p->user.last_login_ms : p->admin.last_login_ms;
}
