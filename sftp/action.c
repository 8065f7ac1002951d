#include "sftp/action.h"

#include <limits.h>
#include <stdlib.h>
#include <string.h>

#include "base/str.h"
#include "store/entities.h"

enum { COMMAND_MAX = 8192 };

static const char *const names[ACTIONS] = {
    [ACTION_DOWNLOAD] = "download",     [ACTION_UPLOAD] = "upload",
    [ACTION_DELETE] = "delete",         [ACTION_RENAME] = "rename",
    [ACTION_MKDIR] = "mkdir",           [ACTION_RMDIR] = "rmdir",
    [ACTION_SSH_CMD] = "ssh_cmd",       [ACTION_PRE_DOWNLOAD] = "pre-download",
    [ACTION_PRE_UPLOAD] = "pre-upload", [ACTION_PRE_DELETE] = "pre-delete",
};

static const char *const protocols[] = { "SFTP", "SCP", "SSH" };

const char *action_name(enum action a)
{
    return names[a];
}

uint32_t actions_wanted(const struct actions_config *c)
{
    uint32_t bits = 0;
    if (!c->hook || !c->hook[0])
        return 0;
    for (unsigned a = 0; a < ACTIONS; a++)
        if (strings_has(&c->execute_on, names[a]))
            bits |= 1U << a;
    return bits;
}

bool action_waits(const struct actions_config *c, enum action a)
{
    return a >= ACTION_PRE_DOWNLOAD || strings_has(&c->execute_sync, names[a]);
}

static uint8_t protocol_number(const char *name)
{
    uint8_t i = 0;
    while (i < ARRAY_SIZE(protocols) - 1 && strcmp(protocols[i], name) != 0)
        i++;
    return i;
}

void action_put(struct queue *q, const struct action_event *e)
{
    packet_put_u8(q, (uint8_t)e->action);
    packet_put_u8(q, e->waits);
    packet_put_u8(q, protocol_number(e->protocol));
    packet_put_u8(q, (uint8_t)e->status);
    packet_put_u64(q, e->size_bytes);
    packet_put_u32(q, e->open_flags);
    packet_put_text(q, e->path);
    packet_put_text(q, e->target);
    packet_put_text(q, e->command);
}

static bool is_clean(const char *path)
{
    CLEANUP(mem_free) char *clean = NULL;
    return !path[0] || (path_clean(path, &clean) == 0 && strcmp(path, clean) == 0);
}

static bool is_possible(const struct action_event *e)
{
    return e->status >= ACTION_OK && e->status <= ACTION_QUOTA && is_clean(e->path) && is_clean(e->target);
}

int action_parse(struct packet_in *in, struct action_event *ret)
{
    struct action_event e = { 0 };
    char *text[3] = { 0 };
    unsigned action = packet_u8(in);
    e.waits = packet_u8(in) != 0;
    unsigned protocol = packet_u8(in);
    e.status = packet_u8(in);
    e.size_bytes = packet_u64(in);
    e.open_flags = packet_u32(in);
    int r = packet_text(in, PATH_MAX - 1, &text[0]);
    if (r == 0)
        r = packet_text(in, PATH_MAX - 1, &text[1]);
    if (r == 0)
        r = packet_text(in, COMMAND_MAX, &text[2]);
    e.path = text[0];
    e.target = text[1];
    e.command = text[2];
    if (r < 0 || action >= ACTIONS || protocol >= ARRAY_SIZE(protocols) || !is_possible(&e)) {
        action_done(&e);
        return r == -ENOMEM ? r : -EBADMSG;
    }
    e.action = (enum action)action;
    e.protocol = protocols[protocol];
    *ret = e;
    return 0;
}

void action_done(struct action_event *e)
{
    free((char *)(uintptr_t)e->path);
    free((char *)(uintptr_t)e->target);
    free((char *)(uintptr_t)e->command);
    *e = (struct action_event){ 0 };
}
