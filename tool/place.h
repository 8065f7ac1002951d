/* Where the server is and who one is: from the options, the profile, and the configuration of this machine.
 *
 * The order: --url or --socket; else the profile's `url` or `socket`; else api.sock in runtime_dir of the configuration
 * (--config, /etc/tally/tally.json), else /run/tally/api.sock. The profile is ~/.config/tally/profile.json (or
 * $XDG_CONFIG_HOME/tally/profile.json, or --profile), a JSON object with the members of profile_fields. It may hold
 * secrets, so a file that others may read, or that belongs to somebody else, is refused. */
#pragma once

#include "tool/client.h"
#include "tool/tool.h"

/* place_open - a client. TOOL_OK, or the exit status of what it printed. */
int place_open(const struct tool *t, struct client **ret) MUST_CHECK;

/* place_config_path - --config, or /etc/tally/tally.json. */
const char *place_config_path(const struct options *o);
