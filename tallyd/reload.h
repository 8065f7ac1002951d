/* tallyd --reload-vfs: the file system goes on in a new process of the program as it is on disk now; clients of the
 * mount only wait a moment. For upgrades. */
#pragma once

#include "base/config.h"

/* reload_vfs - asks the running supervisor and waits until the new process serves. The exit status; what is wrong is
 * said on stderr. */
int reload_vfs(const struct config *config);
