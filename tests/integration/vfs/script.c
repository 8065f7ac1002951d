#include "tests/integration/vfs/script.h"

#include <errno.h>
#include <fcntl.h>
#include <grp.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/integration/vfs/script_ops.h"

int64_t script_result(int64_t r)
{
    return r == -1 ? -errno : r;
}

int64_t script_number(const char *word)
{
    long long n = 0;

    return sscanf(word, "%lli", &n) == 1 ? n : 0;
}

int script_fd(struct run *r, const char *word)
{
    return r->fds[script_number(word) % SCRIPT_FDS];
}

static char *word_grown(const char *word)
{
    size_t n = word[0] == '%' ? (size_t)script_number(word + 1) : 0;
    char *s;

    if (n == 0)
        return strdup(word);
    s = calloc(1, n + 1);
    memset(s, 'n', n);
    return s;
}

static void step_run(struct run *r, char *step)
{
    static char nothing[1] = "";
    char *w[SCRIPT_WORDS + 1];
    char *save = NULL;
    int n = 0;

    for (int i = 0; i <= SCRIPT_WORDS; i++)
        w[i] = nothing;
    for (char *word = strtok_r(step, " ", &save); word != NULL && n < SCRIPT_WORDS; word = strtok_r(NULL, " ", &save))
        w[n++] = word_grown(word); /* freed with the process */
    if (n == 0)
        return;
    const struct script_op *op = script_op_find(w[0]);
    if (op == NULL) {
        fprintf(r->out, "NO SUCH OPERATION %s\n", w[0]);
        return;
    }
    fprintf(r->out, "%s %.20s: ", w[0], w[1]);
    int64_t got = op->run(r, w + 1);
    if (got < 0)
        fprintf(r->out, "%s\n", strerrorname_np((int)-got));
    else
        fprintf(r->out, "%lld\n", (long long)got);
}

static void run_all(int dir, const char *script, char *says)
{
    char *copy = strdup(script);
    struct run r = { .out = fmemopen(says, SCRIPT_SAYS_MAX - 1, "w"), .home = dir };
    char *save = NULL;

    memset(r.fds, -1, sizeof r.fds);
    if (posix_memalign((void **)&r.block, 4096, SCRIPT_BLOCK) != 0 || r.out == NULL || fchdir(dir) < 0)
        _exit(2);
    memset(r.block, 'b', SCRIPT_BLOCK);
    umask(022);
    for (char *step = strtok_r(copy, ";", &save); step != NULL; step = strtok_r(NULL, ";", &save))
        step_run(&r, step);
    fflush(r.out);
    _exit(0);
}

void script_run(int dir, const char *script, char ret[SCRIPT_SAYS_MAX])
{
    char *says = mmap(NULL, SCRIPT_SAYS_MAX, PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
    int status = 0;
    pid_t pid = fork();

    if (pid == 0) {
        if (setgroups(0, NULL) < 0)
            _exit(3);
        run_all(dir, script, says);
    }
    waitpid(pid, &status, 0);
    snprintf(ret, SCRIPT_SAYS_MAX, "%.*s%s", SCRIPT_SAYS_MAX - 64, says, status == 0 ? "" : "THE SCRIPT DIED\n");
    munmap(says, SCRIPT_SAYS_MAX);
}
