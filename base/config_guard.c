/* The keys of what keeps strangers in bounds: defender and rate limiters (contract/sftp-quota.md §4.1, §4.2). */
#include <string.h>

#include "base/address.h"
#include "base/config_inside.h"

enum { YEAR_MIN = 365 * 24 * 60, SCORE_MAX = 1000, ENTRIES_MAX = 10000, PERIOD_MIN_MS = 100, PERIOD_MAX_MS = 86400000 };

static bool is_memory(const char *s)
{
    return strcmp(s, "memory") == 0;
}

static bool is_list_file(const char *s)
{
    return s[0] == '/' && s[1] != '\0';
}

static bool is_protocol(const char *s)
{
    static const char *const names[] = { "SSH", "FTP", "DAV", "HTTP" };

    for (size_t i = 0; i < sizeof names / sizeof *names; i++)
        if (strcmp(s, names[i]) == 0)
            return true;
    return false;
}

static const struct field defender_keys[] = {
    F_BOOL(struct defender_config, enabled, .fallback = "false", .applies = AT_RELOAD,
           .help = "ban addresses that fail too often"),
    F_STRING(struct defender_config, driver, .flags = FIELD_REQUIRED, .valid = is_memory,
             .valid_text = "must be memory", .fallback = "memory", .help = "where bans are kept: memory"),
    F_U32(struct defender_config, ban_time_min, .wire = "ban_time", .min = 1, .max = YEAR_MIN, .fallback = "30",
          .applies = AT_RELOAD, .help = "minutes of a ban"),
    F_U32(struct defender_config, ban_time_increment, .max = 10000, .fallback = "50", .applies = AT_RELOAD,
          .help = "percent of ban_time that each attempt of a banned address adds, at least a minute"),
    F_U32(struct defender_config, threshold, .min = 2, .max = SCORE_MAX, .fallback = "15", .applies = AT_RELOAD,
          .help = "score within observation_time that bans"),
    F_U32(struct defender_config, score_invalid, .max = SCORE_MAX, .fallback = "2", .applies = AT_RELOAD,
          .help = "score of a user that does not exist, and of a connection without a login attempt"),
    F_U32(struct defender_config, score_valid, .max = SCORE_MAX, .fallback = "1", .applies = AT_RELOAD,
          .help = "score of a failed login of a user that exists"),
    F_U32(struct defender_config, score_limit_exceeded, .max = SCORE_MAX, .fallback = "3", .applies = AT_RELOAD,
          .help = "score of a connection or request over a limit"),
    F_U32(struct defender_config, observation_time_min, .wire = "observation_time", .min = 1, .max = YEAR_MIN,
          .fallback = "30", .applies = AT_RELOAD, .help = "minutes that a score counts"),
    F_U32(struct defender_config, entries_soft_limit, .min = 1, .max = ENTRIES_MAX, .fallback = "100",
          .applies = AT_RELOAD, .help = "addresses that are kept when there are more than entries_hard_limit"),
    F_U32(struct defender_config, entries_hard_limit, .min = 2, .max = ENTRIES_MAX, .fallback = "150",
          .applies = AT_RELOAD, .help = "addresses that are remembered at most"),
    F_STRING(struct defender_config, safelist_file, .max = 4095, .valid = is_list_file,
             .valid_text = "must be an absolute path", .applies = AT_RELOAD,
             .help = "JSON file with \"addresses\" and \"networks\" that are never banned; read again at SIGHUP"),
    F_STRING(struct defender_config, blocklist_file, .max = 4095, .valid = is_list_file,
             .valid_text = "must be an absolute path", .applies = AT_RELOAD,
             .help = "the same of those that are always banned"),
};

static int defender_check(const void *obj, struct why *why)
{
    const struct defender_config *c = obj;

    if (MAX(MAX(c->score_invalid, c->score_valid), c->score_limit_exceeded) >= c->threshold)
        return why_set(why, -EINVAL, "threshold", "must be higher than each of the scores");
    if (c->entries_soft_limit >= c->entries_hard_limit)
        return why_set(why, -EINVAL, "entries_soft_limit", "must be lower than entries_hard_limit");
    return 0;
}

const struct schema defender_config_schema =
    SCHEMA("defender", struct defender_config, defender_keys, .check = defender_check);

static const struct field limiter_keys[] = {
    F_U32(struct rate_limiter_config, average, .max = 1000000, .fallback = "0", .applies = AT_RELOAD,
          .help = "events a period; 0: off"),
    F_U32(struct rate_limiter_config, period_ms, .wire = "period", .min = PERIOD_MIN_MS, .max = PERIOD_MAX_MS,
          .fallback = "1000", .applies = AT_RELOAD, .help = "milliseconds"),
    F_U32(struct rate_limiter_config, burst, .min = 1, .max = 1000000, .fallback = "1", .applies = AT_RELOAD,
          .help = "events that may come at once"),
    F_U32(struct rate_limiter_config, type, .min = 1, .max = 2, .fallback = "2", .applies = AT_RELOAD,
          .help = "1: all addresses together; 2: each address"),
    F_STRINGS(struct rate_limiter_config, protocols, .max = 8, .valid = is_protocol,
              .valid_text = "must be SSH, FTP, DAV or HTTP", .fallback = "SSH,FTP,DAV,HTTP", .applies = AT_RELOAD,
              .help = "SSH (connections) and HTTP (requests); FTP and DAV are allowed here and not served"),
    F_STRINGS(struct rate_limiter_config, allow_list, .max = 64, .valid = network_or_address_is,
              .valid_text = "must be an address or a network", .applies = AT_RELOAD,
              .help = "addresses and networks that are not limited"),
    F_BOOL(struct rate_limiter_config, generate_defender_events, .fallback = "false", .applies = AT_RELOAD,
           .help = "whoever is refused gets defender.score_limit_exceeded"),
    F_U32(struct rate_limiter_config, entries_soft_limit, .min = 1, .max = ENTRIES_MAX, .fallback = "100",
          .applies = AT_RELOAD, .help = "addresses that are kept when there are more than entries_hard_limit"),
    F_U32(struct rate_limiter_config, entries_hard_limit, .min = 2, .max = ENTRIES_MAX, .fallback = "150",
          .applies = AT_RELOAD, .help = "addresses that are remembered at most"),
};

static int limiter_check(const void *obj, struct why *why)
{
    const struct rate_limiter_config *c = obj;

    if (c->entries_soft_limit >= c->entries_hard_limit)
        return why_set(why, -EINVAL, "entries_soft_limit", "must be lower than entries_hard_limit");
    return 0;
}

const struct schema rate_limiter_config_schema =
    SCHEMA("rate_limiter", struct rate_limiter_config, limiter_keys, .check = limiter_check);
