#include "mirror.h"

#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "common/file.h"
#include "common/mem.h"

#include "image.h"
#include "sources.h"

#define DOWNLOAD_TIMEOUT_MS (20 * 60 * 1000)
#define LIST_MAX            (1 << 20)
#define INDEX_MAX           (16 << 20)
#define ARGV_MAX            128

/* What chatops installs on nodes, what the lab's scenery needs, and what people reach
 * for when they look into a node. apt adds the dependencies. */
static const char *const wanted[] = {
    /* the store's daemons */
    "postfix",
    "postfix-pcre",
    "postfix-lmdb",
    "postfix-pgsql",
    "dovecot-core",
    "dovecot-imapd",
    "dovecot-lmtpd",
    "nginx-light",
    "libnginx-mod-stream",
    "postgresql",
    "redis-server",
    "uacme",
    "pebble",
    "coturn",
    "openssl",
    "ssl-cert",
    "unbound",
    /* network */
    "nftables",
    "wireguard-tools",
    "wireguard-go",
    "conntrack",
    "iproute2",
    "netcat-openbsd",
    /* libraries our programs link */
    "libevent-2.1-7",
    "libevent-pthreads-2.1-7",
    "libpq5",
    "libnanomsg5",
    "libjansson4",
    "libldns3",
    "libsystemd0",
    "libssl3",
    "libcrypt1",
    "adduser",
    /* scenery and looking around */
    "nsd",
    "openssh-client",
    "swaks",
    "curl",
    "bind9-dnsutils",
    "tcpdump",
    "procps",
    "less",
    "vim-tiny",
    "rsync",
    "iputils-ping",
    "iperf3",
    "strace",
    "zstd",
};

/* wireguard-tools recommends "a kernel with wireguard"; nodes share this machine's. */
static const char preferences[] = "Package: linux-image-* linux-headers-* "
                                  "initramfs-tools* firmware-* wireguard-dkms\n"
                                  "Pin: release *\n"
                                  "Pin-Priority: -1\n";

#ifdef __aarch64__
#define OTHER_KIND "_amd64.deb"
#else
#define OTHER_KIND "_arm64.deb"
#endif

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n > m && strcmp(text + n - m, end) == 0;
}

/* Packages for nodes of another kind (tools/arm64) may lie beside those for these. */
static int own_filter(const struct dirent *e)
{
    return ends_with(e->d_name, ".deb") && !ends_with(e->d_name, OTHER_KIND);
}

/* Sorted paths of the .deb files of a directory; free each and the array. Missing
 * directory: none. */
static size_t debs_in(const char *dir, char ***paths_r)
{
    struct dirent **names = NULL;
    int n = scandir(dir, &names, own_filter, alphasort);
    char **paths = cm_calloc(n > 0 ? (size_t)n + 1 : 1, sizeof *paths);
    for (int i = 0; i < n; i++) {
        paths[i] = cm_asprintf("%s/%s", dir, names[i]->d_name);
        free(names[i]);
    }
    free(names);
    *paths_r = paths;
    return n > 0 ? (size_t)n : 0;
}

static size_t own_debs(struct lab *lab, char ***paths_r)
{
    return debs_in(lab->packages, paths_r);
}

static void free_paths(char **paths)
{
    for (size_t i = 0; paths[i]; i++)
        free(paths[i]);
    free(paths);
}

bool mirror_has_own(struct lab *lab, const char *package)
{
    char **paths;
    size_t n = own_debs(lab, &paths);
    bool found = false;
    size_t len = strlen(package);
    for (size_t i = 0; i < n; i++) {
        const char *base = strrchr(paths[i], '/') + 1;
        found |= strncmp(base, package, len) == 0 && base[len] == '_';
    }
    free_paths(paths);
    return found;
}

static int hash_debs(const char *dir, char hex[65], struct cm_err *err)
{
    char **paths;
    size_t n = debs_in(dir, &paths);
    struct cm_buf all;
    cm_buf_init(&all, LIST_MAX);
    int rc = 0;
    for (size_t i = 0; rc == 0 && i < n; i++) {
        char one[65];
        rc = state_hash_file(paths[i], one, err);
        if (rc == 0)
            cm_buf_fmt(&all, "%s\n", one);
    }
    if (rc == 0)
        state_hash(all.data, all.len, hex);
    cm_buf_clear(&all);
    free_paths(paths);
    return rc;
}

int mirror_built_hash(struct lab *lab, char hex[65], struct cm_err *err)
{
    return hash_debs(lab->packages, hex, err);
}

int mirror_published_hash(struct lab *lab, char hex[65], struct cm_err *err)
{
    char *dir = state_path(lab, "mirror/own");
    int rc = hash_debs(dir, hex, err);
    free(dir);
    return rc;
}

/* The text that decides whether apt must be asked: image, list, our dependencies. */
static int stamp_text(struct lab *lab, char **own, size_t n, struct cm_buf *out,
                      struct cm_err *err)
{
    cm_buf_fmt(out, "image %s\n%s", lab->image, preferences);
    for (size_t i = 0; i < sizeof wanted / sizeof *wanted; i++)
        cm_buf_fmt(out, "%s\n", wanted[i]);
    for (size_t i = 0; i < n; i++) {
        const char *argv[] = {"dpkg-deb",    "-f",      own[i], "Package",
                              "Pre-Depends", "Depends", NULL};
        char *fields = NULL;
        if (tool_argv(err, argv, 0, &fields) < 0)
            return -1;
        cm_buf_str(out, fields);
        free(fields);
    }
    return 0;
}

/* Options that make this machine's apt work for the nodes: their sources, and the base
 * image's list of what is installed already. */
struct apt {
    const char *words[ARGV_MAX];
    size_t n;
    char *owned[16];
    size_t owned_n;
};

static void apt_option(struct apt *apt, char *option)
{
    cm_assert(apt->owned_n < 16 && apt->n + 3 < ARGV_MAX);
    apt->owned[apt->owned_n++] = option;
    apt->words[apt->n++] = "-o";
    apt->words[apt->n++] = option;
}

static void apt_word(struct apt *apt, const char *word)
{
    cm_assert(apt->n + 1 < ARGV_MAX);
    apt->words[apt->n++] = word;
    apt->words[apt->n] = NULL;
}

static void apt_init(struct lab *lab, struct apt *apt)
{
    *apt = (struct apt){0};
    apt_word(apt, "apt-get");
    apt_word(apt, "-qq");
    apt_option(apt, cm_asprintf("Dir::Etc::sourcelist=%s/apt/sources.list", lab->dir));
    apt_option(apt, cm_asprintf("Dir::Etc::preferences=%s/apt/preferences", lab->dir));
    apt_option(apt, cm_strdup("Dir::Etc::sourceparts=/dev/null"));
    apt_option(apt, cm_strdup("Dir::Etc::preferencesparts=/dev/null"));
    apt_option(apt, cm_asprintf("Dir::State=%s/apt/state", lab->dir));
    apt_option(apt,
               cm_asprintf("Dir::State::status=%s/image/%s/root/var/lib/dpkg/status",
                           lab->dir, lab->image));
    apt_option(apt, cm_asprintf("Dir::State::extended_states=%s/apt/extended_states",
                                lab->dir));
    apt_option(apt, cm_asprintf("Dir::Cache=%s/apt/cache", lab->dir));
    apt_option(apt, cm_asprintf("Dir::Cache::archives=%s/mirror", lab->dir));
    apt_option(apt, cm_strdup("APT::Sandbox::User=root"));
    apt_option(apt, cm_strdup("APT::Install-Recommends=true"));
    apt_option(apt, cm_strdup("Acquire::Retries=3"));
}

static void apt_clear(struct apt *apt)
{
    for (size_t i = 0; i < apt->owned_n; i++)
        free(apt->owned[i]);
}

static int apt_update(struct lab *lab, struct cm_err *err)
{
    struct apt apt;
    apt_init(lab, &apt);
    apt_word(&apt, "update");
    int rc = tool_argv(err, apt.words, DOWNLOAD_TIMEOUT_MS, NULL);
    apt_clear(&apt);
    return rc;
}

static int apt_download(struct lab *lab, const char *const *names, size_t n,
                        struct cm_err *err)
{
    struct apt apt;
    apt_init(lab, &apt);
    apt_word(&apt, "-y");
    apt_word(&apt, "--download-only");
    apt_word(&apt, "install");
    for (size_t i = 0; i < n; i++)
        apt_word(&apt, names[i]);
    int rc = tool_argv(err, apt.words, DOWNLOAD_TIMEOUT_MS, NULL);
    apt_clear(&apt);
    return rc;
}

static int write_in(struct lab *lab, const char *name, const char *text,
                    struct cm_err *err)
{
    char *path = state_path(lab, "%s", name);
    int rc = cm_file_replace(path, text, strlen(text), 0644, err);
    free(path);
    return rc;
}

static int prepare_apt(struct lab *lab, struct cm_err *err)
{
    static const char *const dirs[] = {"apt/state/lists/partial", "apt/cache",
                                       "mirror/partial", "mirror/own"};
    for (size_t i = 0; i < sizeof dirs / sizeof *dirs; i++) {
        char *path = state_path(lab, "%s", dirs[i]);
        int rc = cm_file_mkdirs(path, 0755, err);
        free(path);
        if (rc < 0)
            return -1;
    }
    struct cm_buf sources;
    cm_buf_init(&sources, LIST_MAX);
    int rc = sources_of_host(IMAGE_CODENAME, IMAGE_KEYRING, &sources, err);
    if (rc == 0)
        rc = write_in(lab, "apt/sources.list", sources.data, err);
    if (rc == 0)
        rc = write_in(lab, "apt/preferences", preferences, err);
    cm_buf_clear(&sources);
    return rc;
}

/* `env -C`: paths in the index are relative to the folder. */
static int index_folder(struct lab *lab, const char *below, char **index_r,
                        struct cm_err *err)
{
    char *dir = state_path(lab, "mirror");
    const char *argv[] = {"env", "-C", dir, "apt-ftparchive", "packages", below, NULL};
    int rc = tool_argv(err, argv, DOWNLOAD_TIMEOUT_MS, index_r);
    free(dir);
    return rc;
}

static int download(struct lab *lab, char **own, size_t n, struct cm_err *err)
{
    if (prepare_apt(lab, err) < 0 || apt_update(lab, err) < 0 ||
        apt_download(lab, wanted, sizeof wanted / sizeof *wanted, err) < 0)
        return -1;
    /* One by one: ours need not be installable together. */
    for (size_t i = 0; i < n; i++)
        if (apt_download(lab, (const char *const *)&own[i], 1, err) < 0)
            return cm_err_prefix(err, "dependencies of %s", own[i]);
    /* Ours must not be in Debian's index. */
    char *folder = state_path(lab, "mirror/own");
    tool_quietly("rm", "-rf", folder, NULL);
    int rc = cm_file_mkdirs(folder, 0755, err);
    free(folder);
    char *index = NULL;
    if (rc == 0)
        rc = index_folder(lab, ".", &index, err);
    if (rc == 0)
        rc = write_in(lab, "mirror/Packages.debian", index, err);
    free(index);
    return rc;
}

int mirror_ready(struct lab *lab, struct cm_err *err)
{
    char **own;
    size_t n = own_debs(lab, &own);
    char *path = state_path(lab, "mirror/stamp");
    char *old = NULL;
    size_t len;
    struct cm_buf stamp;
    cm_buf_init(&stamp, LIST_MAX);
    int rc = stamp_text(lab, own, n, &stamp, err);
    if (rc == 0)
        rc = cm_file_read(path, LIST_MAX, &old, &len, err);
    if (rc >= 0 && !(old && strcmp(old, stamp.data) == 0)) {
        int64_t began = state_begin(lab, "mirror");
        rc = download(lab, own, n, err);
        if (rc == 0)
            rc = write_in(lab, "mirror/stamp", stamp.data, err);
        if (rc == 0)
            state_end(lab, "mirror", began);
        else
            cm_err_prefix(err, "package mirror");
    }
    free(old);
    cm_buf_clear(&stamp);
    free(path);
    free_paths(own);
    return rc < 0 ? -1 : 0;
}

int mirror_publish(struct lab *lab, struct cm_err *err)
{
    char **own;
    size_t n = own_debs(lab, &own);
    char *folder = state_path(lab, "mirror/own");
    char *debian_path = state_path(lab, "mirror/Packages.debian");
    char *debian = NULL, *ours = NULL;
    size_t len;
    int rc = tool(err, "rm", "-rf", folder, NULL);
    if (rc == 0)
        rc = cm_file_mkdirs(folder, 0755, err);
    for (size_t i = 0; rc == 0 && i < n; i++)
        rc = tool(err, "cp", own[i], folder, NULL);
    if (rc == 0)
        rc = index_folder(lab, "own", &ours, err);
    if (rc == 0 && cm_file_read(debian_path, INDEX_MAX, &debian, &len, err) < 0)
        rc = -1;
    if (rc == 0) {
        char *both = cm_asprintf("%s%s", ours, debian ? debian : "");
        rc = write_in(lab, "mirror/Packages", both, err);
        free(both);
    }
    free(ours);
    free(debian);
    free(debian_path);
    free(folder);
    free_paths(own);
    return rc;
}
