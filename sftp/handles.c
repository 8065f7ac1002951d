#include "sftp/handles.h"

#include <stdlib.h>
#include <string.h>

void dir_free(struct dir *d)
{
    if (!d)
        return;
    fd_close(&d->fd);
    free(d->path);
    free(d->real);
    free(d);
}

static struct open_item *free_slot(struct handles *h)
{
    for (size_t i = 0; i < h->room; i++)
        if (h->v[i].serial == 0)
            return &h->v[i];
    return NULL;
}

static int grow(struct handles *h)
{
    size_t room = MIN(h->room ? h->room * 2 : (size_t)8, (size_t)HANDLES_MAX);
    struct open_item *v = reallocarray(h->v, room, sizeof(*v));
    if (!v)
        return -ENOMEM;
    memset(v + h->room, 0, (room - h->room) * sizeof(*v));
    h->v = v;
    h->room = room;
    return 0;
}

int handles_add(struct handles *h, struct home_file *file, struct dir *dir, uint8_t ret_name[HANDLE_BYTES])
{
    if (h->n == HANDLES_MAX || h->last_serial == UINT32_MAX)
        return -EMFILE;
    if (h->n == h->room) {
        int r = grow(h);
        if (r < 0)
            return r;
    }
    struct open_item *item = free_slot(h);
    *item = (struct open_item){ .serial = ++h->last_serial, .file = file, .dir = dir };
    h->n++;
    packet_set_u32(ret_name, (uint32_t)(item - h->v));
    packet_set_u32(ret_name + 4, item->serial);
    return 0;
}

struct open_item *handles_find(struct handles *h, const uint8_t *name, size_t len)
{
    struct packet_in in = { .p = name, .left = len };
    uint32_t slot = packet_u32(&in), serial = packet_u32(&in);

    if (!packet_ok(&in) || in.left > 0 || slot >= h->room || serial == 0 || h->v[slot].serial != serial)
        return NULL;
    return &h->v[slot];
}

void handles_remove(struct handles *h, struct open_item *item)
{
    *item = (struct open_item){ 0 };
    h->n--;
}

struct home_file *handles_writing(const struct handles *h, const char *real)
{
    for (size_t i = 0; i < h->room; i++)
        if (h->v[i].file && h->v[i].file->how & FILE_WRITE && strcmp(h->v[i].file->at.path, real) == 0)
            return h->v[i].file;
    return NULL;
}

struct home_file *handles_uploading(const struct handles *h, const char *real)
{
    for (size_t i = 0; i < h->room; i++)
        if (h->v[i].file && h->v[i].file->temp && strcmp(h->v[i].file->at.path, real) == 0)
            return h->v[i].file;
    return NULL;
}

void handles_done(struct handles *h, struct account *a)
{
    for (size_t i = 0; i < h->room; i++) {
        if (h->v[i].file)
            home_file_abort(a, h->v[i].file);
        dir_free(h->v[i].dir);
    }
    free(h->v);
    *h = (struct handles){ 0 };
}
