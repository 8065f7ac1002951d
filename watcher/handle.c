/* The layouts, by type and length: a handle may be followed by that of the parent (type and length then differ). */
#include "watcher/handle.h"

#include <string.h>

static const struct layout {
    int type;
    size_t bytes;     /* of the whole handle */
    size_t at, width; /* where the number is, and its bytes */
} layouts[] = {
    { 0x01, 8, 0, 4 },  /* FILEID_INO32_GEN: ext4, f2fs, XFS with small numbers */
    { 0x02, 16, 0, 4 }, /* FILEID_INO32_GEN_PARENT */
    { 0x01, 12, 4, 8 }, /* tmpfs: generation, then the number */
    { 0x4d, 20, 0, 8 }, /* FILEID_BTRFS_WITHOUT_PARENT: objectid, root, generation */
    { 0x4e, 32, 0, 8 }, /* FILEID_BTRFS_WITH_PARENT */
    { 0x4f, 40, 0, 8 }, /* FILEID_BTRFS_WITH_PARENT_ROOT */
    { 0x81, 12, 0, 8 }, /* FILEID_INO64_GEN: XFS */
    { 0x82, 24, 0, 8 }, /* FILEID_INO64_GEN_PARENT */
};

/* Handles are in the machine's byte order. */
static uint64_t layout_read(const struct layout *l, const uint8_t *data)
{
    uint32_t narrow;
    uint64_t wide;

    memcpy(&narrow, data + l->at, sizeof narrow);
    if (l->width == sizeof narrow)
        return narrow;
    memcpy(&wide, data + l->at, sizeof wide);
    return wide;
}

bool handle_ino(int type, const uint8_t *data, size_t len, uint64_t *ret_ino)
{
    for (size_t i = 0; i < ARRAY_SIZE(layouts); i++)
        if (layouts[i].type == type && layouts[i].bytes == len) {
            *ret_ino = layout_read(&layouts[i], data);
            return true;
        }
    return false;
}
