#include "sftp/activity.h"

#include <string.h>

#include "base/log.h"
#include "base/metric.h"
#include "base/sys.h"

void activity_touch(struct activity *a)
{
    a->last_ms = sys->wall_ms();
    if (a->record)
        connection_touch(a->record, a->last_ms);
}

struct transfer activity_begin(struct activity *a, bool is_upload, const char *path, uint64_t offset_bytes)
{
    struct transfer t = { .index = -1, .is_upload = is_upload, .since_ns = sys->now_ns() };
    activity_touch(a);
    if (a->record)
        t.index = connection_transfer_begin(a->record, is_upload, path, offset_bytes, a->last_ms);
    return t;
}

void activity_moved(struct activity *a, struct transfer *t, uint64_t bytes)
{
    t->bytes += bytes;
    metric_add(t->is_upload ? M_UPLOAD_BYTES : M_DOWNLOAD_BYTES, 0, (int64_t)bytes);
    if (a->record)
        connection_transfer_moved(a->record, t->index, bytes);
}

void activity_end(struct activity *a, struct transfer *t, const char *path, int r)
{
    if (a->record)
        connection_transfer_end(a->record, t->index);
    if (t->is_upload)
        metric_add(r < 0 ? M_UPLOAD_ERRORS : M_UPLOADS, 0, 1);
    else
        metric_add(r < 0 ? M_DOWNLOAD_ERRORS : M_DOWNLOADS, 0, 1);
    activity_tell(a, t->is_upload ? ACTION_UPLOAD : ACTION_DOWNLOAD, path,
                  &(struct activity_told){ .size_bytes = t->is_upload ? t->size_bytes : t->bytes, .r = r });
    if (!a->username)
        return;
    const struct log_field fields[] = {
        { "local_addr", a->local_address, 0 },
        { "remote_addr", a->remote_address, 0 },
        { "elapsed_ms", NULL, (int64_t)((sys->now_ns() - t->since_ns) / 1000000) },
        { "size_bytes", NULL, (int64_t)t->bytes },
        { "username", a->username, 0 },
        { "file_path", path, 0 },
        { "connection_id", a->connection_id, 0 },
        { "protocol", a->protocol, 0 },
        { r < 0 ? "error" : NULL, error_text(r), 0 },
        { 0 },
    };
    log_fields(LOG_INFO, t->is_upload ? "Upload" : "Download", fields, NULL);
}

void activity_command(struct activity *a, const char *sender, const char *path, const char *target,
                      const struct activity_numbers *n)
{
    static const struct activity_numbers none = { "", -1, -1, -1, "", "" };
    if (!a->username)
        return;
    if (!n)
        n = &none;
    const struct log_field fields[] = {
        { "local_addr", a->local_address, 0 },
        { "remote_addr", a->remote_address, 0 },
        { "username", a->username, 0 },
        { "file_path", path, 0 },
        { "target_path", target ? target : "", 0 },
        { "filemode", n->filemode, 0 },
        { "uid", NULL, n->uid },
        { "gid", NULL, n->gid },
        { "access_time", n->access_time, 0 },
        { "modification_time", n->modification_time, 0 },
        { "size", NULL, n->size },
        { "connection_id", a->connection_id, 0 },
        { "protocol", a->protocol, 0 },
        { 0 },
    };
    log_fields(LOG_INFO, sender, fields, NULL);
}

void activity_ssh_command(struct activity *a, const char *command, int r)
{
    metric_add(r < 0 ? M_SSH_COMMAND_ERRORS : M_SSH_COMMANDS, 0, 1);
    if (activity_wants(a, ACTION_SSH_CMD) && strcmp(a->protocol, "SCP") != 0) /* its files are told one by one */
        activity_tell(a, ACTION_SSH_CMD, NULL, &(struct activity_told){ .command = command, .r = r });
    if (!a->username)
        return;
    const struct log_field fields[] = {
        { "local_addr", a->local_address, 0 },
        { "remote_addr", a->remote_address, 0 },
        { "username", a->username, 0 },
        { "ssh_command", command, 0 },
        { "connection_id", a->connection_id, 0 },
        { "protocol", a->protocol, 0 },
        { r < 0 ? "error" : NULL, error_text(r), 0 },
        { 0 },
    };
    log_fields(LOG_INFO, "SSHCommand", fields, NULL);
}

void activity_protocol(struct activity *a, const char *protocol, const char *command)
{
    a->protocol = protocol;
    if (!a->record)
        return;
    connection_show(a->record, protocol, command);
    activity_touch(a);
}
