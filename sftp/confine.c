/* The order is forced: namespaces and the root need CAP_SYS_ADMIN, the bounding set CAP_SETPCAP, so capabilities go
 * after them; the filter allows none of these calls, so it comes last.
 *
 * The mount namespace is a copy, which must not keep the mount of the homes alive or give its changes back: everything
 * is private first, and the old root is detached at once with all that hangs beneath it. */
#include "sftp/confine.h"

#include <linux/capability.h>
#include <sched.h>
#include <string.h>
#include <sys/mount.h>
#include <sys/prctl.h>
#include <sys/syscall.h>
#include <unistd.h>

#include "base/log.h"
#include "sftp/filter.h"

static const struct {
    int flag;
    const char *name;
} namespaces[] = {
    { CLONE_NEWNET, "network" },
    { CLONE_NEWIPC, "IPC" },
    { CLONE_NEWUTS, "host name" },
};

static const uint32_t kept_caps[] = { CAP_SETUID, CAP_SETGID };

static void leave_namespaces(void)
{
    for (size_t i = 0; i < ARRAY_SIZE(namespaces); i++)
        if (unshare(namespaces[i].flag) < 0)
            log_warn("sessions share the %s namespace: %s", namespaces[i].name, error_text(-errno));
}

static int empty_root(const char *dir)
{
    const unsigned long flags = MS_NOSUID | MS_NODEV | MS_NOEXEC;

    if (unshare(CLONE_NEWNS) < 0 || mount(NULL, "/", NULL, MS_REC | MS_PRIVATE, NULL) < 0 ||
        mount("tally", dir, "tmpfs", flags, "size=4k,nr_inodes=2,mode=0555") < 0)
        return -errno;
    if (chdir(dir) < 0 || syscall(SYS_pivot_root, ".", ".") < 0 || umount2(".", MNT_DETACH) < 0 || chdir("/") < 0)
        return -errno;
    return mount(NULL, "/", NULL, MS_REMOUNT | MS_RDONLY | flags, NULL) < 0 ? -errno : 0;
}

static bool is_kept(uint32_t cap)
{
    for (size_t i = 0; i < ARRAY_SIZE(kept_caps); i++)
        if (kept_caps[i] == cap)
            return true;
    return false;
}

/* By the plain calls: a library would look into /proc, which is gone. */
static int drop_capabilities(void)
{
    struct __user_cap_header_struct head = { .version = _LINUX_CAPABILITY_VERSION_3 };
    struct __user_cap_data_struct data[2] = { 0 };

    if (syscall(SYS_capget, &head, data) < 0)
        return -errno;
    for (uint32_t cap = 0; prctl(PR_CAPBSET_READ, cap, 0, 0, 0) >= 0; cap++)
        if (!is_kept(cap))
            IGNORE(prctl(PR_CAPBSET_DROP, cap, 0, 0, 0), "without CAP_SETPCAP; no_new_privs closes that door, too");
    IGNORE(prctl(PR_CAP_AMBIENT, PR_CAP_AMBIENT_CLEAR_ALL, 0, 0, 0), "they need the inheritable set, which goes now");
    uint32_t keep = 0;
    for (size_t i = 0; i < ARRAY_SIZE(kept_caps); i++)
        keep |= 1U << kept_caps[i];
    data[0].permitted = data[0].effective = data[0].permitted & keep;
    data[1].permitted = data[1].effective = 0;
    data[0].inheritable = data[1].inheritable = 0;
    return syscall(SYS_capset, &head, data) < 0 ? -errno : 0;
}

int confine_listener(const char *dir)
{
    int r = empty_root(dir);
    if (r < 0)
        log_warn("sessions see the file system before login: no root of their own: %s", error_text(r));
    leave_namespaces();
    r = drop_capabilities();
    if (r < 0)
        return log_fail(r, "cannot give up capabilities");
    if (prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 || prctl(PR_SET_DUMPABLE, 0, 0, 0, 0) < 0)
        return log_fail(-errno, "cannot give up new privileges");
    r = filter_listener();
    if (r < 0)
        log_warn("no filter of system calls: %s", error_text(r));
    return 0;
}

void confine_descriptors(int a, int b)
{
    unsigned low = (unsigned)MIN(a, b), high = (unsigned)MAX(a, b);

    if (low > STDERR_FILENO + 1)
        IGNORE(close_range(STDERR_FILENO + 1, low - 1, 0), "no descriptor there");
    if (high > low + 1)
        IGNORE(close_range(low + 1, high - 1, 0), "no descriptor there");
    IGNORE(close_range(high + 1, ~0U, 0), "no descriptor there");
}
