/* One workload on one directory: prints a number, higher is better (MB/s or operations/s).
 *
 *   bench-io WORKLOAD DIR
 *
 * Files are made anew by each run and removed at its end. Every read and write is checked for its length. */
#include <errno.h>
#include <fcntl.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <time.h>
#include <unistd.h>

enum { FILE_BYTES = 256 << 20, SMALL_BYTES = 32 << 20, FILES = 3000 };

static char *block;
static const char *dir;

static void die(const char *what)
{
    fprintf(stderr, "%s: %m\n", what);
    exit(1);
}

static double now(void)
{
    struct timespec t;

    clock_gettime(CLOCK_MONOTONIC, &t);
    return (double)t.tv_sec + (double)t.tv_nsec / 1e9;
}

static const char *path(const char *kind, int i)
{
    static char p[4096];

    snprintf(p, sizeof p, "%s/bench-%s-%d", dir, kind, i);
    return p;
}

static int open_file(const char *p, int flags)
{
    int fd = open(p, flags, 0600);

    if (fd < 0)
        die(p);
    return fd;
}

static void fill(int fd, size_t bytes, size_t step)
{
    for (size_t at = 0; at < bytes; at += step)
        if (pwrite(fd, block, step, (off_t)at) != (ssize_t)step)
            die("pwrite");
}

/* A new file each time: every write grows it. */
static double write_new(size_t step)
{
    size_t bytes = step < 65536 ? SMALL_BYTES : FILE_BYTES;
    int fd = open_file(path("w", 0), O_CREAT | O_TRUNC | O_WRONLY);
    double start = now();

    fill(fd, bytes, step);
    double took = now() - start;
    close(fd);
    unlink(path("w", 0));
    return (double)bytes / 1e6 / took;
}

static double read_with(size_t step, bool at_random)
{
    int fd = open_file(path("r", 0), O_CREAT | O_TRUNC | O_RDWR);
    size_t steps = FILE_BYTES / step;
    unsigned seed = 1;

    fill(fd, FILE_BYTES, 1 << 20);
    close(fd);
    fd = open_file(path("r", 0), O_RDONLY);
    for (size_t i = 0; i < 256; i++) /* warm: what is compared is the way, not the disk */
        if (pread(fd, block, 1 << 20, (off_t)(i << 20)) != 1 << 20)
            die("pread");
    double start = now();
    for (size_t i = 0; i < steps; i++) {
        size_t at = at_random ? (size_t)rand_r(&seed) % steps : i;
        if (pread(fd, block, step, (off_t)(at * step)) != (ssize_t)step)
            die("pread");
    }
    double took = now() - start;
    close(fd);
    unlink(path("r", 0));
    return (double)FILE_BYTES / 1e6 / took;
}

static double create_close_unlink(void)
{
    double start = now();

    for (int i = 0; i < FILES; i++)
        close(open_file(path("c", i), O_CREAT | O_EXCL | O_WRONLY));
    for (int i = 0; i < FILES; i++)
        if (unlink(path("c", i)) < 0)
            die("unlink");
    return 2 * FILES / (now() - start);
}

static double small_files(void)
{
    double start = now();

    for (int i = 0; i < FILES; i++) {
        int fd = open_file(path("s", i), O_CREAT | O_EXCL | O_WRONLY);
        if (write(fd, block, 4096) != 4096)
            die("write");
        close(fd);
    }
    double took = now() - start;
    for (int i = 0; i < FILES; i++)
        unlink(path("s", i));
    return FILES / took;
}

/* A source tree as tar leaves it: directories, small files, modes and times. */
static double untar(void)
{
    struct timespec ts[2] = { { .tv_sec = 1000000000 }, { .tv_sec = 1000000000 } };
    char name[64];
    int top = open(dir, O_RDONLY | O_DIRECTORY);
    double start = now();

    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "bench-u-%d", i / 50);
        if (i % 50 == 0 && mkdirat(top, name, 0755) < 0)
            die("mkdir");
        snprintf(name, sizeof name, "bench-u-%d/%d", i / 50, i);
        int fd = openat(top, name, O_CREAT | O_EXCL | O_WRONLY, 0600);
        if (fd < 0 || write(fd, block, 2000) != 2000 || futimens(fd, ts) < 0 || fchmod(fd, 0644) < 0)
            die("a file");
        close(fd);
    }
    double took = now() - start;
    for (int i = 0; i < FILES; i++) {
        snprintf(name, sizeof name, "bench-u-%d/%d", i / 50, i);
        unlinkat(top, name, 0);
    }
    for (int i = 0; i < FILES; i += 50) {
        snprintf(name, sizeof name, "bench-u-%d", i / 50);
        unlinkat(top, name, AT_REMOVEDIR);
    }
    close(top);
    return FILES / took;
}

/* Every page of a map. */
static double read_mapped(void)
{
    int fd = open_file(path("m", 0), O_CREAT | O_TRUNC | O_RDWR);
    volatile char sum = 0;

    fill(fd, FILE_BYTES, 1 << 20);
    close(fd);
    fd = open_file(path("m", 0), O_RDONLY);
    double start = now();
    const char *m = mmap(NULL, FILE_BYTES, PROT_READ, MAP_SHARED, fd, 0);
    if (m == MAP_FAILED)
        die("mmap");
    for (size_t i = 0; i < FILE_BYTES; i += 4096)
        sum ^= m[i];
    double took = now() - start;
    munmap((void *)m, FILE_BYTES);
    close(fd);
    unlink(path("m", 0));
    return FILE_BYTES / 1e6 / took;
}

static double stat_files(void)
{
    struct stat st;

    for (int i = 0; i < FILES; i++)
        close(open_file(path("t", i), O_CREAT | O_WRONLY));
    double start = now();
    for (int round = 0; round < 20; round++)
        for (int i = 0; i < FILES; i++)
            if (stat(path("t", i), &st) < 0)
                die("stat");
    double took = now() - start;
    for (int i = 0; i < FILES; i++)
        unlink(path("t", i));
    return 20.0 * FILES / took;
}

static double run(const char *w)
{
    if (strcmp(w, "read-4k-random") == 0)
        return read_with(4096, true);
    if (strcmp(w, "read-128k") == 0)
        return read_with(128 << 10, false);
    if (strcmp(w, "read-1m") == 0)
        return read_with(1 << 20, false);
    if (strcmp(w, "write-4k") == 0)
        return write_new(4096);
    if (strcmp(w, "write-32k") == 0)
        return write_new(32 << 10);
    if (strcmp(w, "write-128k") == 0)
        return write_new(128 << 10);
    if (strcmp(w, "write-1m") == 0)
        return write_new(1 << 20);
    if (strcmp(w, "create-unlink") == 0)
        return create_close_unlink();
    if (strcmp(w, "small-files") == 0)
        return small_files();
    if (strcmp(w, "stat") == 0)
        return stat_files();
    if (strcmp(w, "untar") == 0)
        return untar();
    if (strcmp(w, "read-mmap") == 0)
        return read_mapped();
    errno = EINVAL;
    die(w);
    return 0;
}

int main(int argc, char **argv)
{
    if (argc != 3)
        return 2;
    dir = argv[2];
    block = malloc(1 << 20);
    if (block == NULL)
        die("malloc");
    memset(block, 'b', 1 << 20);
    printf("%.1f\n", run(argv[1]));
    return 0;
}
