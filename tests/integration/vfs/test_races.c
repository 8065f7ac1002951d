/* Sixteen writers race for what is left of a quota, in every way in which a file grows: together they get all of it, to
 * the last byte, and at no moment more.
 *
 *   RACES=10000 integration_vfs_races */
#include "tests/integration/vfs/mounted.h"

#include <errno.h>
#include <pthread.h>
#include <stdatomic.h>
#include <sys/mman.h>
#include <sys/wait.h>

enum { WRITERS = 16, RACES = 150, RACES_MAX = 1000000, LIMIT = 997, GREED = 300 };

struct track {
    pthread_barrier_t start, end, looked;
    _Atomic bool over;
    _Atomic unsigned over_times, odd_errors;
};
static struct track *track;

static int races_wanted(void)
{
    const char *text = getenv("RACES");
    int n = 0;

    return text != NULL && sscanf(text, "%d", &n) == 1 && n > 0 && n <= RACES_MAX ? n : RACES;
}

/* ---- ways to grow: the new size, or -errno ----------------------------------------------------------------------- */

static int64_t by_append(int fd, int64_t size, int64_t more)
{
    static const char bytes[GREED];
    int64_t n = pwrite(fd, bytes, (size_t)more, size); /* what fits */

    return n < 0 ? -errno : size + n;
}
static int64_t by_hole(int fd, int64_t size, int64_t more)
{
    return pwrite(fd, "x", 1, size + more - 1) == 1 ? size + more : -errno;
}
static int64_t by_truncate(int fd, int64_t size, int64_t more)
{
    return ftruncate(fd, size + more) < 0 ? -errno : size + more;
}
static int64_t by_allocation(int fd, int64_t size, int64_t more)
{
    return fallocate(fd, 0, size, more) < 0 ? -errno : size + more;
}
static int64_t by_copy(int fd, int64_t size, int64_t more)
{
    off_t from = 0, to = size;

    if (size == 0)
        return by_append(fd, size, more);
    int64_t n = copy_file_range(fd, &from, fd, &to, (size_t)(more < size ? more : size), 0);
    return n < 0 ? -errno : size + n;
}
static int64_t (*const ways[])(int fd, int64_t size, int64_t more) = { by_append,   by_append,     by_hole,
                                                                       by_truncate, by_allocation, by_copy };

/* ---- a race ----------------------------------------------------------------------------------------------------- */

static bool is_over(struct home_of *h)
{
    return bed_counted(h->bed, DOMAIN_USER, h->id).bytes > LIMIT;
}

/* Ever smaller pieces, until not even one byte fits. Returns how much it got. */
static int64_t race_once(struct home_of *h, int fd, unsigned *seed)
{
    int64_t size = 0, more = 1 + rand_r(seed) % GREED;

    for (;;) {
        int64_t now =
            more == 1 ? by_append(fd, size, 1) : ways[(size_t)rand_r(seed) % ARRAY_SIZE(ways)](fd, size, more);
        track->over_times += is_over(h);
        if (now == -EDQUOT && more == 1)
            return size;
        if (now < 0 && now != -EDQUOT)
            track->odd_errors++;
        size = now < 0 ? size : now;
        more = now < 0 ? (more + 1) / 2 : 1 + rand_r(seed) % GREED;
    }
}

static void writer_main(struct home_of *h, int number)
{
    char name[24];
    unsigned seed = (unsigned)number + 1;

    snprintf(name, sizeof name, "w%d", number);
    int fd = openat(h->dir, name, O_CREAT | O_RDWR | O_CLOEXEC, 0644);
    for (;;) {
        pthread_barrier_wait(&track->start);
        if (track->over)
            _exit(0);
        race_once(h, fd, &seed);
        pthread_barrier_wait(&track->end);
        pthread_barrier_wait(&track->looked);
        if (ftruncate(fd, 0) < 0)
            _exit(1);
    }
}

static void tracks_make(void)
{
    pthread_barrierattr_t shared;

    pthread_barrierattr_init(&shared);
    pthread_barrierattr_setpshared(&shared, PTHREAD_PROCESS_SHARED);
    pthread_barrier_init(&track->start, &shared, WRITERS + 1);
    pthread_barrier_init(&track->end, &shared, WRITERS + 1);
    pthread_barrier_init(&track->looked, &shared, WRITERS + 1);
}

static void sixteen_writers_get_the_last_byte_and_not_one_more(void **state)
{
    pid_t pids[WRITERS];
    int races = races_wanted(), not_all = 0;
    struct home_of h;

    home_new(*state, &h, LIMIT, 0);
    assert_false(is_over(&h)); /* opens the map that the writers read */
    tracks_make();
    for (int i = 0; i < WRITERS; i++)
        if ((pids[i] = fork()) == 0)
            writer_main(&h, i);
    for (int i = 0; i < races; i++) {
        pthread_barrier_wait(&track->start);
        pthread_barrier_wait(&track->end);
        not_all += bed_counted(h.bed, DOMAIN_USER, h.id).bytes != LIMIT || bed_walked(h.backing).bytes != LIMIT;
        pthread_barrier_wait(&track->looked);
    }
    track->over = true;
    pthread_barrier_wait(&track->start);
    for (int i = 0; i < WRITERS; i++)
        waitpid(pids[i], NULL, 0);
    assert_int_equal(track->over_times, 0);
    assert_int_equal(track->odd_errors, 0);
    assert_int_equal(not_all, 0);
    assert_counts(&h, 0, WRITERS);
    home_close(&h);
}

static int setup(void **state)
{
    track = mmap(NULL, sizeof *track, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    return track == MAP_FAILED ? -1 : mounted_setup(state);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(sixteen_writers_get_the_last_byte_and_not_one_more),
    };

    return cmocka_run_group_tests(tests, setup, mounted_teardown);
}
