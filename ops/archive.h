/* archive: the file that chatops backup writes and chatops restore reads: a tar of
 *
 *   BACKUP             what it is, JSON (struct op_archive_about)
 *   laptop/...         chatmail.ini and what chatops keeps beside it
 *   roles, database.dump, store/..., mail/...    from the store (store/backup/place.h)
 *   MANIFEST           a line "SHA-256 SIZE PATH" for each file before it, in order
 *
 * It holds every secret of the relay and is not encrypted. */
#ifndef OP_ARCHIVE_H
#define OP_ARCHIVE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

#include "common/buf.h"
#include "common/err.h"
#include "common/tar.h"

#define OP_ARCHIVE_INI    "laptop/chatmail.ini"
#define OP_ARCHIVE_HOSTS  "laptop/known_hosts"
#define OP_ARCHIVE_NUMBER "laptop/numbers"
#define OP_ARCHIVE_DNSKEY "laptop/dns.key"

struct op_archive_about {
    char domain[256];
    int64_t made_s; /* Unix time */
    char version[64];
    bool mail; /* messages are in it */
};

/* ---- reading ---- */

/* Bytes of the archive, with headers, as a store takes them. */
struct op_archive_part {
    const char *data;
    size_t len;
};

struct op_archive {
    struct op_archive_about about;
    char id[33]; /* half of the SHA-256 of MANIFEST */
    uint64_t files, mailboxes;
    struct op_archive_part database, store, mail;
    struct op_archive_part ini, hosts, numbers, dns_key; /* contents; NULL: none */
    const char *map;
    size_t len;
};

/* Reads the file to its end and holds all of it against MANIFEST. -1: it cannot be
 * read, or is not a whole backup of ours; the text says which. */
CM_MUSTUSE int op_archive_open(const char *path, struct op_archive *a,
                               struct cm_err *err);
/* The same of an open file; name: for messages. */
CM_MUSTUSE int op_archive_read(int fd, const char *name, struct op_archive *a,
                               struct cm_err *err);
void op_archive_close(struct op_archive *a);

/* ---- writing ---- */

struct op_archive_out {
    int fd;
    char *beside; /* its name until it is kept; NULL: it has none */
    char *path;
    struct cm_buf manifest;
    struct cm_tar tar; /* of what the store sends */
    struct evp_md_ctx_st *sum;
    bool ended; /* the store's archive has come to its end */
    int failed; /* err says why; nothing is taken any more */
    uint64_t files, bytes;
    struct cm_err err;
};

/* path: where it will be; the former file there stays until it is. 0600. */
CM_MUSTUSE int op_archive_begin(struct op_archive_out *o, const char *path,
                                const struct op_archive_about *about,
                                struct cm_err *err);
/* The same where a file cannot be without a name (FAT, NFS): begin() comes to it. */
CM_MUSTUSE int op_archive_begin_named(struct op_archive_out *o, const char *path,
                                      const struct op_archive_about *about,
                                      struct cm_err *err);
CM_MUSTUSE int op_archive_add(struct op_archive_out *o, const char *name,
                              const void *data, size_t len, struct cm_err *err);
/* Bytes of the store's archive as they come. A failure is kept and told at the end. */
void op_archive_feed(struct op_archive_out *o, const char *data, size_t n);
/* The store's was whole: MANIFEST, sync, read back, then its name. a: as it was read,
 * for the caller to close. */
CM_MUSTUSE int op_archive_keep(struct op_archive_out *o, struct op_archive *a,
                               struct cm_err *err);
/* Unless it was kept, nothing of it is left. */
void op_archive_drop(struct op_archive_out *o);

#endif
