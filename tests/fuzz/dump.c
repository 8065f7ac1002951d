/* Any bytes as a dump, restored into a real store: refused with a reason and nothing changed, or in, and then the
 * store's own dump is read again without anything left out. The first byte holds the options. */
#include <dirent.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/log.h"
#include "store/dump.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static char dir[] = "/dev/shm/tally-fuzz-dump-XXXXXX";
static struct config config;
static struct store *store;

static void drop_line(const char *line, size_t len)
{
    (void)line;
    (void)len;
}

static void end(void)
{
    DIR *d = opendir(dir);

    store_close(store);
    for (struct dirent *e; d != NULL && (e = readdir(d)) != NULL;)
        unlinkat(dirfd(d), e->d_name, 0);
    if (d != NULL)
        closedir(d);
    rmdir(dir);
}

static void begin(void)
{
    log_sink(drop_line);
    if (mkdtemp(dir) == NULL)
        abort();
    config.state_dir = dir;
    config.data_provider.name = (char *)"tally.db";
    config.data_provider.users_base_dir = (char *)"/base";
    config.data_provider.password_hashing.bcrypt_options.cost = 4;
    config.data_provider.password_hashing.algo = (char *)"bcrypt";
    config.vfs.mount = (char *)"/mnt/homes";
    if (store_open(&config, STORE_WRITE, &store) < 0)
        abort();
    atexit(end);
}

static void dump_take(struct strbuf *to)
{
    struct json_out out = { .to = to, .first = true };

    strbuf_reset(to);
    if (dump_write(store, DUMP_ALL, NULL, NULL, &out) < 0)
        abort();
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size)
{
    static struct strbuf text = STRBUF(1 << 26), after = STRBUF(1 << 26);
    struct restore done = { 0 };
    struct why why = { 0 };

    if (size == 0)
        return 0;
    if (store == NULL)
        begin();
    struct restore_options o = { .only_add = data[0] & 1, .skip_unsupported = data[0] & 2 };
    dump_take(&text);
    int r = dump_restore(store, (const char *)data + 1, size - 1, &o, &done, &why);
    dump_take(&after);
    if (r < 0) {
        if (r != -EINVAL || why.text[0] == '\0' || strcmp(text.s, after.s) != 0)
            abort();
        return 0;
    }
    restore_done(&done);
    struct restore_options replace = { 0 };
    if (dump_restore(store, after.s, after.len, &replace, &done, &why) < 0 || done.left_out_total != 0)
        abort();
    restore_done(&done);
    return 0;
}
