/* What a program sees through the mount is what it sees on ext4: the same scripts, call by call, in a home and in a
 * directory of the same file system beside it. A row that differs says why; it fails if it does not differ any more. */
#include "tests/integration/vfs/mounted.h"

#include <dirent.h>

#include "tests/integration/vfs/script.h"

struct row {
    const char *name, *script;
    const char *differs; /* NULL: the same; else why not */
};

#define ACL_USER "u::7,u:2001:4,g::5,m::7,o::0"

static const struct row rows[] = {
    /* ---- opening */
    { "create gives mode less umask", "umask 027; open 0 a wc 0666; stat a; mkdir d 0777; stat d", NULL },
    { "create with set-id bits", "umask 0; open 0 a wc 06777; stat a; open 1 b wc 01666; stat b", NULL },
    { "exclusive create of what is there", "put a 1; open 0 a wcx", NULL },
    { "exclusive create of a dangling link", "symlink nowhere l; open 0 l wcx; open 0 l wc; stat nowhere", NULL },
    { "open of what is not there", "open 0 a r; open 0 d/a rc; open 0 a rd", NULL },
    { "open of a directory", "mkdir d; open 0 d r; open 1 d w; open 2 d b; open 3 d rc; read 0 10", NULL },
    { "directory flag on a file", "put a 1; open 0 a rd", NULL },
    { "no-follow on a link", "symlink a l; open 0 l rn; open 1 l pn; fstat 1", NULL },
    { "truncating open", "put a 100; open 0 a wt; stat a; open 1 a rt; stat a", NULL },
    { "truncating open of a read-only file by its owner",
      "as 2001; put a 10; chmod a 0400; open 0 a wt; stat a; open 1 a r", NULL },
    { "create with a mode that forbids its own writing", "as 2001; open 0 a wc 0400; write 0 5; stat a; open 1 a w",
      NULL },
    { "read-only open of an unreadable file", "put a 1; chmod a 0200; as 2001; open 0 a r; as 0; open 0 a r", NULL },
    { "write-only open of an unwritable file", "put a 1; chmod a 0444; as 2001; open 0 a w; open 0 a b", NULL },
    { "read through a write-only and write through a read-only handle",
      "put a 9; open 0 a w; read 0 1; open 1 a r; write 1 1; ftruncate 1 0; falloc 1 0 0 5", NULL },
    { "path-only handle", "put a 9; open 0 a p; fstat 0; read 0 1; fchmod 0 0600; ftruncate 0 0", NULL },
    { "open without updating the access time by others", "put a 1; open 0 a rN; as 2001; open 0 a rN", NULL },
    { "a name with a slash at its end", "put a 1; mkdir d; open 0 a/ r; stat d/; unlink d/; mkdir e/; rmdir e/", NULL },
    { "tmpfile is linked in", "open 0 . bT 0640; write 0 10; fstat 0; flink 0 t; stat t; fstat 0", NULL },
    { "tmpfile is linked in by empty path", "open 0 . bT; write 0 3; flink 0 t e; stat t", NULL },
    { "exclusive tmpfile cannot be linked", "open 0 . bTx; write 0 3; flink 0 t", NULL },
    { "tmpfile needs writing", "open 0 . rT", NULL },
    { "tmpfile over an existing name", "put t 1; open 0 . bT; flink 0 t", NULL },
    { "names of 255 and 256 bytes",
      "put %255 1; stat %255; put %256 1; mkdir %256; symlink x %256; stat %256; unlink %256", NULL },
    { "renaming to a name too long", "put a 1; rename a %256; link a %256; rename a %255; stat %255", NULL },
    { "paths beyond PATH_MAX",
      "descend 50 %100; put deep 10; stat deep; cwd 4096; cwd 8192; rename deep d2; unlink d2; cd -", NULL },
    { "dots", "mkdir d; rmdir d/.; rmdir d/..; unlink .; rename d/. e; mkdir .; mkdir ..", NULL },
    /* ---- writing */
    { "append goes to the end", "put a 5; open 0 a wa; pwrite 0 0 3; write 0 2; stat a; open 1 a r; read 1 20", NULL },
    { "two appenders", "open 0 a wca; open 1 a wca; write 0 5 x; write 1 5 y; write 0 5 z; open 2 a r; read 2 20",
      NULL },
    { "a hole reads as zeros", "open 0 a bc; pwrite 0 10000 5; stat a; pread 0 9998 10; pread 0 0 4; pread 0 20000 5",
      NULL },
    { "write at a negative offset", "open 0 a bc; pwrite 0 -1 5; pread 0 -1 5; seek 0 -1 0", NULL },
    { "write beyond the largest offset", "open 0 a bc; pwrite 0 0x7fffffffffffffff 5; ftruncate 0 0x7fffffffffffffff",
      NULL },
    { "write of nothing", "put a 5; open 0 a b; write 0 0; pwrite 0 100 0; stat a; read 0 0", NULL },
    { "a megabyte at once", "open 0 a bc; write 0 1048576; fstat 0; pread 0 1048570 20", NULL },
    { "odd pieces over pages", "open 0 a bc; pwrite 0 4090 13 x; pwrite 0 1 4095 y; pread 0 0 5000; stat a", NULL },
    { "overwrite in the middle", "put a 100; open 0 a b; pwrite 0 40 10 z; pread 0 0 100; stat a", NULL },
    { "synchronous writes", "open 0 a wcs; write 0 10; open 1 a wy; pwrite 1 10 10; stat a; fsync 0; fsync 1 d", NULL },
    { "direct writes of whole blocks", "open 0 a bcD; pwrite 0 0 4096 x; pwrite 0 4096 8192 y; pread 0 0 4096; stat a",
      NULL },
    { "direct reads see cached writes", "put a 8192; open 0 a wa; write 0 8192 z; open 1 a rD; pread 1 8192 4096",
      NULL },
    { "direct writes of odd pieces", "open 0 a bcD; pwrite 0 1 100",
      "direct I/O of writers ends in the server, which writes through the page cache: what ext4 refuses works" },
    { "seek from the end sees what others wrote",
      "open 0 a bc; open 1 a w; write 1 77; seek 0 0 2; seek 0 -7 2; seek 0 -99 2", NULL },
    { "seek from where it is",
      "put a 50; open 0 a b; read 0 10; seek 0 5 1; read 0 3; write 0 2; seek 0 0 1; seek 0 -99 1", NULL },
    { "holes and data",
      "open 0 a bc; pwrite 0 65536 4096; seek 0 0 3; seek 0 0 4; seek 0 65536 4; seek 0 70000 3; seek 0 70000 4",
      NULL },
    { "holes through a reader",
      "open 0 a wc; pwrite 0 65536 4096; open 1 a r; seek 1 0 3; seek 1 65536 4; seek 1 69632 3", NULL },
    { "seek with a wrong whence", "open 0 a bc; seek 0 0 9; close 0; seek 0 0 0", NULL },
    { "directory fsync", "mkdir d; open 0 d r; fsync 0; fsync 0 d; open 1 . r; fsync 1", NULL },
    { "fsync of a reader", "put a 1; open 0 a r; fsync 0; fsync 0 d", NULL },
    /* ---- sizes */
    { "truncate shrinks and grows", "put a 100; truncate a 10; stat a; truncate a 50; open 0 a r; read 0 100", NULL },
    { "truncate of what may not be written",
      "put a 9; chmod a 0444; as 2001; truncate a 0; as 0; mkdir d; truncate d 0", NULL },
    { "truncate to a negative size", "put a 9; truncate a -1; open 0 a w; ftruncate 0 -1", NULL },
    { "truncate moves the times", "put a 9; changed a; tick; truncate a 9; changed a; tick; truncate a 5; changed a",
      NULL },
    { "ftruncate moves the times",
      "put a 9; open 0 a w; changed a; tick; ftruncate 0 9; changed a; tick; ftruncate 0 4; changed a", NULL },
    { "truncating open of an empty file moves the times", "put a 0; changed a; tick; open 0 a wt; changed a", NULL },
    { "a write moves the times",
      "put a 9; open 0 a w; changed a; tick; pwrite 0 0 1; changed a; tick; pwrite 0 0 0; changed a", NULL },
    { "allocation grows", "open 0 a bc; falloc 0 0 0 5000; fstat 0; pread 0 4999 5", NULL },
    { "allocation keeps the size", "open 0 a bc; falloc 0 1 0 100000; fstat 0; blocks a", NULL },
    { "a hole is punched", "put a 20000; open 0 a b; falloc 0 3 4096 8192; fstat 0; pread 0 4095 2; seek 0 0 4", NULL },
    { "punching needs keeping the size", "put a 20000; open 0 a b; falloc 0 2 0 4096", NULL },
    { "a range is zeroed",
      "put a 10000; open 0 a b; falloc 0 0x10 100 5000; pread 0 99 3; falloc 0 0x10 9000 5000; fstat 0", NULL },
    { "a range is zeroed and the size kept",
      "put a 10000; open 0 a b; falloc 0 0x11 9000 5000; fstat 0; pread 0 8999 3", NULL },
    { "ranges are collapsed and inserted", "put a 20000; open 0 a b; falloc 0 8 0 4096; falloc 0 0x20 0 4096",
      "the kernel's FUSE lets no mode through that moves bytes about: EOPNOTSUPP" },
    { "allocation of nothing, and of a negative range",
      "open 0 a bc; falloc 0 0 0 0; falloc 0 0 -5 10; falloc 0 0 0 -5", NULL },
    { "allocation by an unknown mode", "open 0 a bc; falloc 0 0x400 0 10", NULL },
    { "allocation of a directory and a pipe",
      "mkdir d; open 0 d r; falloc 0 0 0 10; mknod p p 0600; open 1 p bk; falloc 1 0 0 10", NULL },
    { "blocks of a sparse file", "open 0 a bc; ftruncate 0 1000000; blocks a; pwrite 0 0 4096; fsync 0; blocks a",
      NULL },
    /* ---- set-id bits */
    { "a write by somebody else clears them", "put a 5; chmod a 06777; as 2001; open 0 a w; pwrite 0 0 1; stat a",
      NULL },
    { "a write by root keeps them", "put a 5; chmod a 06777; open 0 a w; pwrite 0 0 1; stat a", NULL },
    { "sgid without group execution stays", "put a 5; chmod a 02767; as 2001; open 0 a w; pwrite 0 0 1; stat a", NULL },
    { "a growing write clears them", "put a 5; chmod a 06777; as 2001; open 0 a wa; write 0 1; stat a", NULL },
    { "truncate clears them", "put a 5; chmod a 06777; as 2001; truncate a 1; stat a", NULL },
    { "ftruncate clears them", "put a 5; chmod a 06777; as 2001; open 0 a w; ftruncate 0 1; stat a", NULL },
    { "a truncating open clears them", "put a 5; chmod a 06777; as 2001; open 0 a wt; stat a", NULL },
    { "allocation clears them", "put a 5; chmod a 06777; as 2001; open 0 a w; falloc 0 0 0 100; stat a", NULL },
    { "punching clears them", "put a 9000; chmod a 06777; as 2001; open 0 a w; falloc 0 3 0 4096; stat a", NULL },
    { "a copied range clears them",
      "put s 9; put a 5; chmod a 06777; as 2001; open 0 a w; open 1 s r; copyrange 0 1 0 0 9; stat a", NULL },
    { "a spliced write clears them",
      "put s 9; put a 5; chmod a 06777; as 2001; open 0 a w; open 1 s r; splice 0 1 9; stat a", NULL },
    { "chown by root clears them", "put a 5; chmod a 06777; chown a 2001 2002; stat a", NULL },
    { "chown of nothing by root", "put a 5; chmod a 06777; chown a -1 -1; stat a", NULL },
    { "chgrp by the owner clears them", "as 2001 2002; put a 5; chmod a 06777; chown a -1 2002; stat a", NULL },
    { "chown of a directory keeps them", "mkdir d; chmod d 06777; chown d 2001 2002; stat d", NULL },
    { "chmod sgid by somebody outside the group loses it", "put a 5; chown a 2001 3003; as 2001; chmod a 02755; stat a",
      NULL },
    { "chmod sgid by a member keeps it", "put a 5; chown a 2001 3003; as 2001 3003; chmod a 02755; stat a", NULL },
    { "file capabilities go with a write",
      "put a 5; setx a security.capability "
      "\x01\x01\x01\x02\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01\x01; open 0 a w; write 0 1; "
      "listx a",
      NULL },
    /* ---- owners and modes */
    { "chmod by the owner and by others",
      "as 2001; put a 1; chmod a 0600; as 2002; chmod a 0777; as 0; chmod a 0640; stat a", NULL },
    { "chown by the owner",
      "as 2001 2002; put a 1; chown a 2002 -1; chown a -1 2002; chown a -1 3003; chown a 2001 2001; stat a", NULL },
    { "chown of a link", "symlink x l; chown l 2001 2002; stat l", NULL },
    { "fchmod and fchown",
      "put a 1; open 0 a r; fchmod 0 0123; fchown 0 2001 2002; fstat 0; as 2001; fchmod 0 0700; fstat 0", NULL },
    { "sticky on a file", "put a 1; chmod a 01644; stat a; as 2001; put b 1; chmod b 01644; stat b", NULL },
    { "times by the owner",
      "as 2001; put a 1; utime a 1000 2000; times a; utime a omit 3000; times a; utime a now omit; times a", NULL },
    { "times by who may only write",
      "put a 1; chmod a 0666; as 2001; utime a now now; utime a 5 5; utime a now omit; utime a omit omit", NULL },
    { "times by who may not write", "put a 1; as 2001; utime a now now; utime a 5 5; utime a omit omit", NULL },
    { "times of a link", "symlink x l; utime l 1000 2000; times l", NULL },
    { "times before 1970 and after 2038", "put a 1; utime a -5 -5; times a; utime a 4000000000 4000000000; times a",
      NULL },
    { "birth time", "put a 1; btime a; mkdir d; btime d; symlink x l; btime l; write 0 5; btime a", NULL },
    { "access",
      "put a 1; chmod a 0640; as 2001; access a 4; access a 0; access a 2; access b 0; mkdir d 0700; access d 7; "
      "as 2002; access d 1",
      NULL },
    { "access as root", "put a 1; chmod a 0; access a 4; access a 2; access a 1; chmod a 0100; access a 1", NULL },
    { "search permission", "mkdir d 0700; put d/a 1; as 2001; stat d/a; open 0 d/a r; open 0 d r; unlink d/a; list d",
      NULL },
    { "reading a directory without search", "mkdir d 0744; put d/a 1; as 2001; list d; stat d/a", NULL },
    { "writing a directory without search", "mkdir d 0766; as 2001; put d/a 1; mkdir d/e", NULL },
    { "supplementary groups",
      "mkdir d; chown d 0 3003; chmod d 0770; as 2001; put d/a 1; as 2001 3003; put d/a 1; stat d/a", NULL },
    /* ---- directories with set-gid and sticky bits */
    { "setgid directories hand their group on",
      "mkdir d; chown d 0 3003; chmod d 02777; as 2001; put d/a 1; stat d/a; mkdir d/e; stat d/e; symlink x d/l; "
      "stat d/l; mknod d/p p 0644; stat d/p",
      NULL },
    { "sgid files by strangers in setgid directories",
      "mkdir d; chown d 0 3003; chmod d 02777; as 2001; umask 0; open 0 d/a wc 02775; stat d/a", NULL },
    { "sgid files by members in setgid directories",
      "mkdir d; chown d 0 3003; chmod d 02777; as 2001 3003; umask 0; open 0 d/a wc 02775; stat d/a", NULL },
    { "tmpfile in a setgid directory",
      "mkdir d; chown d 0 3003; chmod d 02777; as 2001; open 0 d bT 0664; fstat 0; flink 0 d/t; stat d/t", NULL },
    { "sticky directories",
      "mkdir d; chmod d 01777; as 2001; put d/a 1; as 2002; unlink d/a; rename d/a d/b; put d/c 1; rename d/c d/a; "
      "as 2001; unlink d/a; rename d/c d/e",
      NULL },
    { "sticky directory of one's own", "as 2001; mkdir d; chmod d 01777; as 2002; put d/a 1; as 2001; unlink d/a",
      NULL },
    { "sticky directories and directories in them",
      "mkdir d; chmod d 01777; as 2001; mkdir d/e; as 2002; rmdir d/e; rename d/e d/f", NULL },
    { "sticky directories and exchange",
      "mkdir d; chmod d 01777; as 2001; put d/a 1; as 2002; put d/b 2; rename d/a d/b x", NULL },
    /* ---- ACLs */
    { "an access ACL lets one more in",
      "put a 5; acl a access u::6,u:2001:6,g::0,m::6,o::0; getacl a access; stat a; as 2001; open 0 a b; "
      "pread 0 0 1; as 2002; open 1 a r",
      NULL },
    { "the mask takes away", "put a 5; acl a access u::6,u:2001:6,g::0,m::4,o::0; as 2001; open 0 a r; open 1 a w",
      NULL },
    { "chmod changes the mask",
      "put a 5; acl a access u::6,u:2001:7,g::4,m::7,o::0; chmod a 0640; getacl a access; stat a", NULL },
    { "an ACL that is a mode is a mode", "put a 5; acl a access u::7,g::5,o::4; getacl a access; stat a; listx a",
      NULL },
    { "ACLs are listed", "put a 5; acl a access " ACL_USER "; listx a; mkdir d; acl d default " ACL_USER "; listx d",
      NULL },
    { "a default ACL is inherited by files",
      "mkdir d; acl d default " ACL_USER "; umask 077; put d/a 5; stat d/a; getacl d/a access; getacl d/a default",
      NULL },
    { "a default ACL is inherited by directories",
      "mkdir d; acl d default " ACL_USER "; umask 077; mkdir d/e; stat d/e; getacl d/e access; getacl d/e default",
      NULL },
    { "a default ACL and a mode asked for",
      "mkdir d; acl d default " ACL_USER
      "; open 0 d/a wc 0600; stat d/a; getacl d/a access; mkdir d/e 0700; getacl d/e access",
      NULL },
    { "a default ACL, other kinds of files",
      "mkdir d; acl d default " ACL_USER
      "; mknod d/p p 0666; getacl d/p access; symlink x d/l; stat d/l; open 0 d bT 0666; flink 0 d/t; "
      "getacl d/t access",
      NULL },
    { "a default ACL without a mask",
      "mkdir d; acl d default u::7,g::5,o::0; umask 0; put d/a 5; stat d/a; mkdir d/e; getacl d/e default", NULL },
    { "no default ACL: the umask counts",
      "mkdir d; acl d access " ACL_USER "; umask 077; put d/a 5; stat d/a; getacl d/a access", NULL },
    { "a default ACL by another user",
      "mkdir d; chmod d 0777; acl d default " ACL_USER "; as 2001; put d/a 5; stat d/a; getacl d/a access", NULL },
    { "a default ACL in a setgid directory",
      "mkdir d; chown d 0 3003; chmod d 02777; acl d default " ACL_USER
      "; as 2001; put d/a 5; stat d/a; mkdir d/e; stat d/e",
      NULL },
    { "a default ACL on a file", "put a 5; acl a default " ACL_USER, NULL },
    { "ACLs are the owner's to set",
      "put a 5; as 2001; acl a access " ACL_USER "; put b 5; acl b access " ACL_USER "; stat b", NULL },
    { "a broken ACL",
      "put a 5; acl a access u::7; acl a access u::7,u:2001:4,g::5,o::0; acl a access g::5,u::7,o::0; "
      "setx a system.posix_acl_access zzzz",
      NULL },
    { "an ACL is removed",
      "put a 5; acl a access " ACL_USER
      "; rmx a system.posix_acl_access; getacl a access; stat a; rmx a system.posix_acl_access",
      NULL },
    { "a default ACL is removed",
      "mkdir d; acl d default " ACL_USER
      "; rmx d system.posix_acl_default; getacl d default; put d/a 1; getacl d/a access",
      NULL },
    { "an ACL by somebody outside the group clears sgid",
      "put a 5; chown a 2001 3003; chmod a 02775; as 2001; acl a access u::7,u:2002:4,g::7,m::7,o::0; stat a", NULL },
    { "an ACL by a member keeps sgid",
      "put a 5; chown a 2001 3003; chmod a 02775; as 2001 3003; acl a access u::7,u:2002:4,g::7,m::7,o::0; stat a",
      NULL },
    { "an ACL of a link", "symlink x l; acl l access " ACL_USER "; getacl l access", NULL },
    /* ---- extended attributes */
    { "set, get, list, remove",
      "put a 1; setx a user.k value; getx a user.k; listx a; rmx a user.k; getx a user.k; rmx a user.k; listx a",
      NULL },
    { "create and replace",
      "put a 1; setx a user.k 1 r; setx a user.k 1 c; setx a user.k 22 c; setx a user.k 333 r; getx a user.k", NULL },
    { "an empty value", "put a 1; setx a user.k %0; getx a user.k; listx a", NULL },
    { "size asked for, and too little room", "put a 1; setx a user.k value; getx a user.k 0; getx a user.k 2", NULL },
    { "unknown namespaces",
      "put a 1; setx a nonsense.k v; setx a user. v; setx a user v; getx a nonsense.k; setx a system.k v", NULL },
    { "names and values that are too long", "put a 1; setx a %256 v; setx a user.k %70000; getx a %256", NULL },
    { "user attributes of links and devices",
      "symlink x l; setx l user.k v; mknod p p 0666; setx p user.k v; getx l user.k", NULL },
    { "user attributes follow the mode",
      "put a 1; setx a user.k v; chmod a 0600; as 2001; getx a user.k; setx a user.k w; listx a", NULL },
    { "user attributes of a sticky directory", "mkdir d; chmod d 01777; as 2001; setx d user.k v", NULL },
    { "trusted attributes are root's",
      "put a 1; chmod a 0666; setx a trusted.k v; listx a; as 2001; getx a trusted.k; setx a trusted.k w; "
      "rmx a trusted.k; listx a",
      NULL },
    { "security attributes",
      "put a 1; setx a security.k v; getx a security.k; listx a; as 2001; getx a security.k; setx a security.k w",
      NULL },
    { "attributes of directories", "mkdir d; setx d user.k v; getx d user.k; setx d trusted.k t; listx d", NULL },
    { "attributes move the change time",
      "put a 1; changed a; tick; setx a user.k v; changed a; tick; rmx a user.k; changed a", NULL },
    /* ---- names */
    { "hard links", "put a 5; link a b; stat a; open 0 b wa; write 0 2; stat a; unlink a; stat b; link b b; link c d",
      NULL },
    { "a link to a directory", "mkdir d; link d e", NULL },
    { "a link to a link", "put a 1; symlink a l; link l m; stat m; link l n f; stat n", NULL },
    { "a link moves the change time", "put a 1; changed a; tick; link a b; changed a; tick; unlink b; changed a",
      NULL },
    { "symbolic links",
      "symlink a/b/c l; readlink l; stat l; symlink x l; open 0 l r; readlink .; symlink %4000 m; readlink m", NULL },
    { "a link that is too long, and an empty one", "symlink %5000 l; readlink nothing", NULL },
    { "links in circles", "symlink b a; symlink a b; open 0 a r; stat a f", NULL },
    { "unlink of an open file",
      "put a 5; open 0 a b; unlink a; fstat 0; write 0 9; fstat 0; pread 0 0 20; stat a; ftruncate 0 2; fstat 0",
      NULL },
    { "an unlinked file cannot be linked back", "put a 5; open 0 a b; unlink a; flink 0 b; stat b", NULL },
    { "unlink of a directory, rmdir of a file", "mkdir d; put a 1; unlink d; rmdir a; rmdir nothing; unlink nothing",
      NULL },
    { "rmdir of a full directory", "mkdir d; put d/a 1; rmdir d; unlink d/a; rmdir d; stat d", NULL },
    { "a removed directory that is open",
      "mkdir d; cd d; open 0 . r; rmdir ../d; put a 1; mkdir e; fstat 0; list .; cd -", NULL },
    { "directories count their names", "mkdir d; stat d; mkdir d/e; mkdir d/f; stat d; rmdir d/e; stat d", NULL },
    { "a name moves its directory's times",
      "mkdir d; changed d; tick; put d/a 1; changed d; tick; rename d/a d/b; changed d; tick; unlink d/b; changed d",
      NULL },
    { "rename", "put a 5; rename a b; stat a; stat b; rename b b; rename nothing c; mkdir d; rename b d/b; stat d/b",
      NULL },
    { "rename over a file", "put a 5; put b 9; open 0 b r; rename a b; stat b; fstat 0; pread 0 0 20; stat a", NULL },
    { "rename over an open writer", "put a 5; put b 9; open 0 b wa; rename a b; write 0 1; fstat 0; stat b", NULL },
    { "rename between names of one inode", "put a 5; link a b; rename a b; stat a; stat b", NULL },
    { "rename of directories",
      "mkdir d; put d/a 1; rename d e; stat e/a; mkdir f; rename e f; rename f e; stat e; put e/b 1; mkdir g; "
      "rename g e; stat e",
      NULL },
    { "rename of a directory into itself", "mkdir d; mkdir d/e; rename d d/e/f; rename d/e d", NULL },
    { "rename between kinds", "mkdir d; put a 1; rename a d; rename d a; symlink x l; rename a l; stat l", NULL },
    { "rename without replacing", "put a 5; put b 9; rename a b n; rename a c n; stat c; rename a b n", NULL },
    { "exchange",
      "put a 5; mkdir d; rename a d x; stat a; stat d; rename a nothing x; rename nothing a x; rename a d nx", NULL },
    { "exchange of a directory with what is in it", "mkdir d; mkdir d/e; rename d d/e x; rename d/e d x", NULL },
    { "a whiteout", "put a 5; rename a b w", "a whiteout would be a device that nobody asked for: EINVAL" },
    { "rename moves the change time",
      "put a 1; changed a; tick; rename a b; changed b; tick; mkdir d; changed d; tick; rename d e; changed e", NULL },
    { "rename without permission",
      "mkdir d 0755; put d/a 1; mkdir e 0777; chmod e 0777; as 2001; rename d/a e/a; put e/b 1; rename e/b d/b", NULL },
    { "moving another's directory needs writing to it",
      "mkdir d; chmod d 0777; mkdir e; chmod e 0777; mkdir d/x 0755; as 2001; rename d/x e/x", NULL },
    { "pipes", "mknod p p 0644; stat p; open 0 p bk; write 0 5; read 0 9; open 1 p wk; chmod p 0600; unlink p", NULL },
    { "sockets", "mknod s s 0644; stat s; open 0 s r; unlink s", NULL },
    { "files by mknod", "umask 0; mknod f f 0666; stat f; mknod f f 0666; as 2001; mknod g f 0600; stat g", NULL },
    { "devices are root's to make", "as 2001; mknod c c 0666; as 0; mknod c c 0666; stat c; mknod b b 0600; stat b",
      NULL },
    { "devices cannot be opened", "mknod c c 0666; open 0 c r", "the mount is nodev: EACCES" },
    /* ---- locks */
    { "flock between handles",
      "put a 1; open 0 a r; open 1 a r; flock 0 s; flock 1 s; flock 1 e; flock 0 u; flock 1 e; flock 0 s", NULL },
    { "flock between processes",
      "put a 1; open 0 a r; flock 0 e; kid flock 0 u; open 1 a r; kid flock 1 e; close 0; kid flock 1 e", NULL },
    { "POSIX locks between processes",
      "put a 100; open 0 a b; setlk 0 w 0 10; kid setlk 0 w 5 10; kid setlk 0 r 10 5; kid getlk 0 w 0 0; "
      "setlk 0 u 0 10; kid setlk 0 w 5 10",
      NULL },
    { "POSIX locks go with any close", "put a 100; open 0 a b; open 1 a r; setlk 0 w 0 10; close 1; kid setlk 0 w 0 10",
      NULL },
    { "POSIX locks need the right of the handle",
      "put a 9; open 0 a r; setlk 0 w 0 1; open 1 a w; setlk 1 r 0 1; setlk 0 r -5 1; setlk 0 r 5 -9", NULL },
    { "OFD locks between handles",
      "put a 100; open 0 a b; open 1 a b; ofd 0 w 0 10; ofd 1 w 5 10; ofd 1 r 10 5; ofd 0 u 0 10; ofd 1 w 5 10; "
      "close 1; ofd 0 w 5 10",
      NULL },
    { "POSIX and OFD locks see each other",
      "put a 100; open 0 a b; open 1 a b; ofd 0 w 0 10; setlk 1 w 0 10; getlk 1 w 0 10", NULL },
    { "read leases", "put a 9; open 0 a r; lease 0 r; lease 0 u", NULL },
    /* ---- maps and programs */
    { "a shared map sees writes, and reads see its stores",
      "put a 4096; open 0 a b; map 0 4096 w; pwrite 0 0 3 q; load 0 5; store 10 z 4; pread 0 9 6; unmap; stat a",
      NULL },
    { "a shared map through a reader and another writer",
      "put a 4096; open 0 a r; map 0 4096 r; open 1 a w; pwrite 1 2 2 q; load 0 6; unmap", NULL },
    { "a private map keeps its stores",
      "put a 4096; open 0 a b; map 0 4096 wp; store 0 z 4; pread 0 0 6; load 0 6; unmap; pread 0 0 6", NULL },
    { "a writable shared map needs a writer", "put a 4096; open 0 a r; map 0 4096 w; open 1 a w; map 1 4096 r", NULL },
    { "a map outlives its handle and its name",
      "put a 4096; open 0 a b; map 0 4096 w; close 0; unlink a; store 0 z 3; load 0 5; msync; unmap", NULL },
    { "a map of a file that shrinks and grows",
      "put a 8192; open 0 a b; map 0 8192 w; ftruncate 0 4096; ftruncate 0 8192; load 4096 0; pread 0 4095 3; unmap",
      NULL },
    { "a map's stores reach a copy",
      "put a 4096; open 0 a b; map 0 4096 w; store 0 z 4096; msync; open 1 b bc; copyrange 1 0 0 0 4096; "
      "pread 1 0 10; unmap",
      NULL },
    { "programs run",
      "copyin /bin/true t; exec ./t; chmod t 0644; exec ./t; text s /bin/true; exec ./s; chmod s 0755; exec ./s",
      NULL },
    { "a program that is being written", "copyin /bin/true t; open 0 t w; exec ./t; close 0; exec ./t", NULL },
    { "a program of others", "copyin /bin/true t; chmod t 0700; as 2001; exec ./t", NULL },
    { "a directory is no program", "mkdir d; exec ./d; symlink nothing l; exec ./l", NULL },
    /* ---- copies */
    { "sendfile out of and into files",
      "put a 9000; open 0 a r; open 1 b wc; sendfile 1 0 9000; stat b; open 2 b wa; sendfile 2 0 5; open 3 a r; "
      "sendfile 2 3 5",
      NULL },
    { "splice in and out",
      "put a 5000; open 0 a r; open 1 b bc; splice 1 0 5000; stat b; pread 1 4998 5; seek 1 0 0; open 2 c wc; "
      "splice 2 1 3000; stat c",
      NULL },
    { "splice sees what was written before",
      "open 0 a bc; write 0 4096 x; open 1 b wc; seek 0 0 0; splice 1 0 4096; pwrite 0 0 4096 y; seek 0 0 0; "
      "splice 1 0 4096; open 2 b r; pread 2 0 9; pread 2 4096 9",
      NULL },
    { "copy_file_range",
      "put a 9000; open 0 a r; open 1 b bc; copyrange 1 0 0 0 9000; copyrange 1 0 8000 100 5000; "
      "copyrange 1 0 9000 0 10; copyrange 1 0 0 20000 100; fstat 1",
      NULL },
    { "copy_file_range in one file",
      "put a 9000; open 0 a b; copyrange 0 0 0 9000 500; copyrange 0 0 0 100 500; fstat 0", NULL },
    { "copy_file_range without the rights",
      "put a 10; open 0 a r; open 1 a w; copyrange 0 1 0 0 5; open 2 b wca; copyrange 2 0 0 0 5; open 3 . r; "
      "copyrange 1 3 0 0 5",
      NULL },
    /* ---- directories */
    { "a listing",
      "put a 1; mkdir d; symlink x l; mknod p p 0600; mknod s s 0600; list .; list d; list nothing; list a", NULL },
    { "ten thousand names while others come and go", "many a 0 10000; scan . 10000", NULL },
    { "positions in a directory", "many a 0 1000; tell .; few a 0 900; tell .; list .", NULL },
    { "an empty directory", "mkdir d; list d; tell d", NULL },
    { "names that were there stay gone", "stat a; put a 1; stat a; unlink a; stat a; mkdir a; stat a", NULL },
    { "longest name of the file system", "statvfs .", NULL },
};

static int beside(const struct vfs_bed *b, const struct home_of *h, size_t row, bool in_home)
{
    char path[256];

    snprintf(path, sizeof path, "%s/beside", b->dir);
    mkdir(path, 0755);
    snprintf(path, sizeof path, "%s/%s/r%zu", in_home ? b->mnt : b->dir, in_home ? h->name : "beside", row);
    assert_int_equal(mkdir(path, 0777), 0);
    assert_int_equal(chmod(path, 0777), 0);
    int fd = open(path, O_RDONLY | O_DIRECTORY | O_CLOEXEC);
    assert_true(fd >= 0);
    return fd;
}

static void the_mount_is_like_ext4_call_by_call(void **state)
{
    static char on_ext4[SCRIPT_SAYS_MAX], on_mount[SCRIPT_SAYS_MAX];
    const char *only = getenv("ROW");
    unsigned wrong = 0;
    struct home_of h;

    home_new(*state, &h, 0, 0);
    assert_int_equal(fchmod(h.dir, 0755), 0);
    for (size_t i = 0; i < ARRAY_SIZE(rows); i++) {
        if (only != NULL && strstr(rows[i].name, only) == NULL)
            continue;
        int native = beside(*state, &h, i, false), ours = beside(*state, &h, i, true);
        script_run(native, rows[i].script, on_ext4);
        script_run(ours, rows[i].script, on_mount);
        bool same = strcmp(on_ext4, on_mount) == 0;
        if (strstr(on_ext4, "NO SUCH") != NULL || strstr(on_ext4, "DIED") != NULL ||
            same == (rows[i].differs != NULL)) {
            print_error("%s%s\n--- ext4\n%s--- mount\n%s\n", rows[i].name, same ? " (no difference any more)" : "",
                        on_ext4, on_mount);
            wrong++;
        } else if (only != NULL) {
            print_message("%s\n%s\n", rows[i].name, on_mount);
        }
        close(native);
        close(ours);
    }
    assert_int_equal(wrong, 0);
    assert_agrees(&h);
    home_close(&h);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(the_mount_is_like_ext4_call_by_call),
    };

    return cmocka_run_group_tests(tests, mounted_setup, mounted_teardown);
}
