#include "base/guards.h"

#include "base/log.h"
#include "base/sys.h"

enum { NS_MS = 1000000 };

int guards_create(struct guards *ret)
{
    int r = defender_create(&ret->defender);

    return r < 0 ? r : rate_limits_create(&ret->rates);
}

int guards_take(struct role *r, struct guards *ret)
{
    int defender = role_take_fd(r, "defender");
    int rates = role_take_fd(r, "rates");
    int error = defender < 0 || rates < 0 ? -EBADF : defender_attach(defender, &ret->defender);

    return error < 0 ? error : rate_limits_attach(rates, &ret->rates);
}

void guards_detach(struct guards *g)
{
    defender_detach(&g->defender);
    rate_limits_detach(&g->rates);
}

int guards_set(struct guards *g, const struct common_config *c)
{
    struct why why = { 0 };
    int r = defender_set(&g->defender, &c->defender, &why);

    if (r < 0) {
        log_error("common.defender: %s", why.text);
        return r;
    }
    rate_limits_set(&g->rates, &c->rate_limiters);
    return 0;
}

static const char *const event_names[] = {
    [DEFENDER_UNKNOWN] = "no login or an unknown user",
    [DEFENDER_FAILED] = "a failed login",
    [DEFENDER_LIMIT] = "a limit was exceeded",
};

void guards_note(struct guards *g, const char *address, enum defender_event e, const char *protocol)
{
    if (g == NULL || !defender_note(&g->defender, address, e, sys->wall_ms()))
        return;
    const struct log_field fields[] = {
        { "client_ip", address, 0 }, { "protocol", protocol, 0 }, { "event", event_names[e], 0 }, { 0 }
    };
    log_fields(LOG_WARN, "defender", fields, "the address is banned");
}

const char *guards_refusal(struct guards *g, enum rate_protocol p, const char *address, int64_t *ret_wait_ms)
{
    *ret_wait_ms = 0;
    if (g != NULL && defender_refuses(&g->defender, address, sys->wall_ms()))
        return "the address is banned";
    return rates_refusal(g, p, address, ret_wait_ms);
}

const char *rates_refusal(struct guards *g, enum rate_protocol p, const char *address, int64_t *ret_wait_ms)
{
    bool is_offence;

    *ret_wait_ms = 0;
    if (g == NULL)
        return NULL;
    if (rate_limits_take(&g->rates, p, address, (int64_t)(sys->now_ns() / NS_MS), ret_wait_ms, &is_offence))
        return NULL;
    if (is_offence)
        guards_note(g, address, DEFENDER_LIMIT, p == RATE_SSH ? "SSH" : "HTTP");
    return "too many in this time";
}
