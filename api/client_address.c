/* A chain may come in several header lines and is one list then (RFC 9110 §5.3). Each proxy appends whom it was called
 * by: the last entry is the only one that our peer vouches for, and the one before it only if that last one is trusted,
 * too. An entry that is no address ends the walk: what is left of it is hearsay. */
#include "api/client_address.h"

#include <stdlib.h>
#include <string.h>

enum { ENTRY_MAX = 64 };

int proxies_make(const struct strings *allowed, const char *header, struct proxies *ret)
{
    struct proxies p = { .header = header, .v = calloc(allowed->n + 1, sizeof(*p.v)) };
    if (p.v == NULL)
        return -ENOMEM;

    for (size_t i = 0; i < allowed->n; i++)
        p.n += network_parse(allowed->v[i], true, &p.v[p.n]); /* the configuration let nothing else in */
    *ret = p;
    return 0;
}

void proxies_done(struct proxies *p)
{
    free(p->v);
    *p = (struct proxies){ 0 };
}

static bool is_proxy(const struct proxies *p, const struct address *a)
{
    for (size_t i = 0; i < p->n; i++)
        if (network_has(&p->v[i], a))
            return true;
    return false;
}

/* One entry without blanks, with or without a port. */
static bool entry_parse(const char *text, size_t len, struct address *ret)
{
    char entry[ENTRY_MAX], bare[ADDRESS_TEXT_MAX];

    while (len > 0 && (*text == ' ' || *text == '\t')) {
        text++;
        len--;
    }
    while (len > 0 && (text[len - 1] == ' ' || text[len - 1] == '\t'))
        len--;
    if (len == 0 || len >= sizeof(entry))
        return false;
    memcpy(entry, text, len);
    entry[len] = '\0';
    return address_without_port(entry, bare) && address_parse(bare, ret);
}

/* The nearest entry that is no trusted proxy; false: there is none to believe. */
static bool chain_walk(const struct proxies *p, const struct forwarded *f, struct address *ret)
{
    bool found = false;

    for (unsigned line = f->n; line-- > 0;) {
        const char *text = f->chain[line];
        for (size_t end = strlen(text), begin;; end = begin - 1) {
            for (begin = end; begin > 0 && text[begin - 1] != ','; begin--)
                ;
            struct address a;
            if (!entry_parse(text + begin, end - begin, &a))
                return found;
            *ret = a;
            found = true;
            if (!is_proxy(p, &a))
                return true;
            if (begin == 0)
                break;
        }
    }
    return found;
}

static bool one_of(const struct forwarded *f, struct address *ret)
{
    const char *const order[] = { f->true_client_ip, f->x_real_ip, f->cf_connecting_ip };

    for (size_t i = 0; i < ARRAY_SIZE(order); i++)
        if (order[i] != NULL)
            return entry_parse(order[i], strlen(order[i]), ret); /* the first that is there counts */
    return false;
}

bool client_address(const struct proxies *p, const char *peer, const struct forwarded *f, char ret[ADDRESS_TEXT_MAX])
{
    bool names_another = p->header != NULL && p->header[0] != '\0' && strcasecmp(p->header, "X-Forwarded-For") != 0;
    struct address a;
    bool found;

    if (p->n == 0 || !address_parse(peer, &a) || !is_proxy(p, &a) || f->n > FORWARDED_MAX)
        return false;
    if (names_another)
        found = f->chosen != NULL && entry_parse(f->chosen, strlen(f->chosen), &a);
    else
        found = f->n > 0 ? chain_walk(p, f, &a) : p->header == NULL || p->header[0] == '\0' ? one_of(f, &a) : false;
    if (found)
        address_text(&a, ret);
    return found;
}
