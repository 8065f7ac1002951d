/* The rows. A noun's first row is what the noun alone does. */
#include "tool/command.h"

enum { MANY = 1000, LIST_OPTIONS = OPT_LIMIT };

#define FIELDS_TEXT                                                                                                    \
    "FIELD=VALUE sets, FIELD+=VALUE and FIELD-=VALUE change a list,\n"                                                 \
    "FIELD:=JSON gives any member of the API as it is. Sizes may be 10G, dates 2026-12-31;\n"                          \
    "password=- asks for the password on the terminal, or reads a line of stdin."

const struct command commands[] = {
    { "status", "", 0, 0, 0, WORDS_NONE, "what runs, and whether the numbers can be trusted", NULL,
      "tally status              services, mount, and the state of the counters\n", on_status },
    { "users list", "[PATTERN]", 0, 1, LIST_OPTIONS, WORDS_NONE, "the users, with what they hold",
      "PATTERN is a shell pattern (quote it) or a part of the name.",
      "tally users               all of them\n"
      "tally users list 'a*'     those that begin with a\n"
      "tally users list --json | jq -r .[].username\n",
      on_users_list },
    { "users show", "USER", 1, 1, 0, WORDS_USERS, "all about a user", NULL, "tally users show ann\n", on_users_show },
    { "users add", "USER [FIELD=VALUE...]", 1, MANY, 0, WORDS_FIELDS, "make a user",
      FIELDS_TEXT "\nWithout permissions= the user may do everything in their home.",
      "tally users add ann password=- quota_size=10G quota_files=100000\n"
      "tally users add web public_keys=\"$(cat id_ed25519.pub)\" permissions=list,download\n",
      on_users_add },
    { "users set", "USER FIELD=VALUE...", 2, MANY, 0, WORDS_FIELDS, "change a user; limits are in force at once",
      FIELDS_TEXT,
      "tally users set ann quota_size=20G\n"
      "tally users set ann status=off\n"
      "tally users set ann permissions./pub=list,download\n"
      "tally users set ann virtual_folders+=photos:/photos:5G\n",
      on_users_set },
    { "users remove", "USER", 1, 1, OPT_YES, WORDS_USERS, "remove a user; the files stay on the disk", NULL,
      "tally users remove ann\n", on_users_remove },
    { "folders list", "[PATTERN]", 0, 1, LIST_OPTIONS, WORDS_NONE, "the shared folders, with what they hold",
      "PATTERN is a shell pattern (quote it) or a part of the name.", "tally folders\n", on_folders_list },
    { "folders show", "FOLDER", 1, 1, 0, WORDS_FOLDERS, "all about a folder", NULL, "tally folders show photos\n",
      on_folders_show },
    { "folders add", "FOLDER mapped_path=DIRECTORY [FIELD=VALUE...]", 2, MANY, 0, WORDS_FIELDS, "make a shared folder",
      FIELDS_TEXT, "tally folders add photos mapped_path=/srv/photos\n", on_folders_add },
    { "folders set", "FOLDER FIELD=VALUE...", 2, MANY, 0, WORDS_FIELDS, "change a folder", FIELDS_TEXT,
      "tally folders set photos description='holidays'\n", on_folders_set },
    { "folders remove", "FOLDER", 1, 1, OPT_YES, WORDS_FOLDERS, "remove a folder; the files stay on the disk", NULL,
      "tally folders remove photos\n", on_folders_remove },
    { "admins list", "[PATTERN]", 0, 1, LIST_OPTIONS, WORDS_NONE, "the administrators",
      "PATTERN is a shell pattern (quote it) or a part of the name.", "tally admins\n", on_admins_list },
    { "admins show", "ADMIN", 1, 1, 0, WORDS_ADMINS, "all about an administrator", NULL, "tally admins show root\n",
      on_admins_show },
    { "admins add", "ADMIN permissions=RIGHTS [FIELD=VALUE...]", 2, MANY, 0, WORDS_FIELDS, "make an administrator",
      FIELDS_TEXT,
      "tally admins add bob password=- permissions='*'\n"
      "tally admins add eve password=- permissions=view_users,view_conns\n",
      on_admins_add },
    { "admins set", "ADMIN FIELD=VALUE...", 2, MANY, 0, WORDS_FIELDS, "change an administrator", FIELDS_TEXT,
      "tally admins set bob filters.allow_list=192.0.2.0/24\n", on_admins_set },
    { "admins remove", "ADMIN", 1, 1, OPT_YES, WORDS_ADMINS, "remove an administrator", NULL,
      "tally admins remove bob\n", on_admins_remove },
    { "keys list", "[PATTERN]", 0, 1, LIST_OPTIONS, WORDS_NONE, "the API keys, without their secrets",
      "PATTERN is a shell pattern (quote it) or a part of the id.", "tally keys\n", on_keys_list },
    { "keys show", "ID", 1, 1, 0, WORDS_KEYS, "all about an API key", NULL, "tally keys show 3jsXKWFqZmbVbCUYtLdLAc\n",
      on_keys_show },
    { "keys add", "NAME [FIELD=VALUE...]", 1, MANY, 0, WORDS_FIELDS, "make an API key, and show it this once",
      FIELDS_TEXT "\nscope is 1 for administrators (the fallback) and 2 for users.\n"
                  "Whom a key stands for must have filters.allow_api_key_auth=on.",
      "tally keys add monitoring admin=eve expires_at=2027-12-31\n"
      "tally keys add upload user=ann\n",
      on_keys_add },
    { "keys set", "ID FIELD=VALUE...", 2, MANY, 0, WORDS_FIELDS, "change an API key", FIELDS_TEXT,
      "tally keys set 3jsXKWFqZmbVbCUYtLdLAc expires_at=never\n", on_keys_set },
    { "keys remove", "ID", 1, 1, OPT_YES, WORDS_KEYS, "remove an API key", NULL,
      "tally keys remove 3jsXKWFqZmbVbCUYtLdLAc\n", on_keys_remove },
    { "usage", "[PATTERN]", 0, 1, OPT_SORT | OPT_WATCH | OPT_LIMIT | OPT_FOLDER, WORDS_NONE,
      "who fills the disk: a bar for each home, the fullest first",
      "With --folder '*' the shared folders instead of the users. A number that is not certain is marked: stale until\n"
      "the next recount, counting while one runs.",
      "tally usage               all homes, by the share of their limit\n"
      "tally usage --sort size --limit 10\n"
      "tally usage --watch 5\n",
      on_usage },
    { "connections list", "", 0, 0, 0, WORDS_NONE, "who is connected, and what moves", NULL,
      "tally connections\n"
      "tally connections --json | jq '.[] | select(.username == \"ann\") | .connection_id'\n",
      on_connections_list },
    { "connections close", "ID...", 1, MANY, 0, WORDS_CONNECTIONS, "close connections, as their list names them", NULL,
      "tally connections close SFTP_4f1d2a_1\n", on_connections_close },
    { "defender list", "", 0, 0, 0, WORDS_NONE, "addresses that are banned, or on their way", NULL, "tally defender\n",
      on_defender_list },
    { "defender unban", "ADDRESS...", 1, MANY, 0, WORDS_HOSTS, "let addresses in again, and forget their score", NULL,
      "tally defender unban 192.0.2.7\n", on_defender_unban },
    { "top", "", 0, 0, 0, WORDS_NONE, "live: throughput, transfers, the fullest homes",
      "Keys: q ends, s sorts the transfers otherwise, up and down choose one, c closes its connection (y confirms).",
      "tally top\n", on_top },
    { "recount", "USER|--folder NAME|--all", 0, MANY, OPT_FOLDER | OPT_DRY_RUN | OPT_EVERY | OPT_CANCEL | OPT_NO_WAIT,
      WORDS_USERS, "count again what a home holds, and report the drift",
      "The home stays in use. Control-C ends the display only; --cancel ends the recount.",
      "tally recount ann\n"
      "tally recount ann --dry-run\n"
      "tally recount --folder photos\n"
      "tally recount --all\n",
      on_recount },
    { "du", "PATH...", 1, MANY, OPT_LIMIT, WORDS_FILES, "what a directory of a home holds, at once",
      "The file system keeps the totals of each directory: nothing is walked.", "tally du /srv/tally/homes/ann/mail\n",
      on_du },
    { "backup", "", 0, 0, OPT_OUTPUT, WORDS_NONE, "users, folders and administrators, with their secrets, in one file",
      "It is a dump like SFTPGo's, and goes to stdout where that is no terminal.",
      "tally backup --output /var/backups/tally.json\n"
      "tally backup | gpg --encrypt --recipient me >tally.json.gpg\n",
      on_backup },
    { "restore", "FILE", 1, 1, OPT_MODE | OPT_DRY_RUN | OPT_YES | OPT_SCAN, WORDS_FILES,
      "take over a backup, after a look at what would change",
      "All of it or nothing. What is not in the file stays. - is stdin.",
      "tally restore /var/backups/tally.json --dry-run\n"
      "tally restore /var/backups/tally.json\n"
      "tally restore old.json --mode 1     only what is missing\n",
      on_restore },
    { "import", "sftpgo DUMP", 2, 2, OPT_MODE | OPT_DRY_RUN | OPT_YES | OPT_SCAN, WORDS_FILES,
      "take over users, folders and administrators of SFTPGo",
      "DUMP is the file of SFTPGo's dumpdata. What lies on storage that Tally has not is left out and named.",
      "tally import sftpgo dump.json --dry-run\n"
      "tally import sftpgo dump.json --scan     and count what the homes hold\n",
      on_import },
    { "check", "", 0, 0, 0, WORDS_NONE, "what is wrong with this machine's set-up, and what to do", NULL,
      "tally check\n", on_check },
    { "completion", "bash|zsh|fish", 1, 1, 0, WORDS_SHELLS, "a script that completes tally's words in a shell", NULL,
      "tally completion bash >/etc/bash_completion.d/tally\n", on_completion },
    { "manual", "tally.1|tally.json.5", 1, 1, 0, WORDS_NONE, "the generated part of a manual page", NULL,
      "tally manual tally.1\n", on_manual },
    { "complete", "[WORD...]", 0, MANY, 0, WORDS_NONE, "what a shell's completion asks", NULL, "", on_complete },
};
const size_t commands_n = ARRAY_SIZE(commands);
