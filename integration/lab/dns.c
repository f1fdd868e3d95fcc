#include "dns.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/clock.h"
#include "common/file.h"
#include "common/mem.h"

#include "state.h"
#include "topology.h"
#include "zone.h"

#define ZONE_MAX  (4 << 20)
#define ZONES_DIR "/etc/nsd/zones"
#define CONF_DIR  "/etc/nsd/nsd.conf.d"

static uint32_t serial_now(void)
{
    return (uint32_t)(cm_now_wall_ms() / 1000);
}

static int put(const char *upper, const char *path, const char *text,
               struct cm_err *err)
{
    char *full = cm_asprintf("%s%s", upper, path);
    char *slash = strrchr(full, '/');
    *slash = 0;
    int rc = cm_file_mkdirs(full, 0755, err);
    *slash = '/';
    if (rc == 0)
        rc = cm_file_replace(full, text, strlen(text), 0644, err);
    free(full);
    return rc;
}

static int put_builtin(const char *upper, const struct zone_builtin *z,
                       struct cm_err *err)
{
    struct cm_buf records, text, path;
    cm_buf_init(&records, ZONE_MAX);
    cm_buf_init(&text, ZONE_MAX);
    cm_buf_init(&path, 512);
    if (z->records)
        z->records(z->name, &records);
    zone_text(z->name, serial_now(), records.data, &text);
    cm_buf_str(&path, ZONES_DIR "/");
    zone_file_name(z->name, &path);
    int rc = put(upper, path.data, text.data, err);
    cm_buf_clear(&path);
    cm_buf_clear(&text);
    cm_buf_clear(&records);
    return rc;
}

int dns_seed(const char *upper, struct cm_err *err)
{
    struct cm_buf conf;
    cm_buf_init(&conf, ZONE_MAX);
    cm_buf_str(&conf, zone_nsd_server());
    for (const struct zone_builtin *z = zone_builtins; z->name; z++)
        zone_nsd_entry(z->name, &conf);
    int rc = put(upper, CONF_DIR "/lab.conf", conf.data, err);
    cm_buf_clear(&conf);
    if (rc == 0)
        rc = put(upper, "/etc/unbound/unbound.conf.d/lab.conf", zone_unbound_conf(),
                 err);
    for (const struct zone_builtin *z = zone_builtins; rc == 0 && z->name; z++)
        rc = put_builtin(upper, z, err);
    return rc;
}

static bool is_builtin(const char *name)
{
    for (const struct zone_builtin *z = zone_builtins; z->name; z++)
        if (strcmp(z->name, name) == 0)
            return true;
    return false;
}

/* `cat >FILE` inside the node: nothing of ours follows a link in there from outside. */
static int write_in_dns(struct lab *lab, const char *path, const char *text,
                        struct cm_err *err)
{
    const char *argv[] = {"dd", "status=none", NULL, NULL};
    char *of = cm_asprintf("of=%s", path);
    argv[2] = of;
    struct cm_run_result res;
    int rc = lab_exec(lab, "dns", argv, text, 0, &res, err);
    if (rc == 0 && res.exit_code != 0)
        rc = cm_err_set(err, CM_ERR_WORLD, "dns: writing %s: %.500s", path,
                        res.err.data);
    cm_run_result_clear(&res);
    free(of);
    return rc;
}

static int in_dns(struct lab *lab, const char *const *argv, struct cm_err *err)
{
    return lab_exec_ok(lab, "dns", argv, 0, NULL, err);
}

/* The new text is checked beside the old one, which stays when the check fails. */
static int replace_zone(struct lab *lab, const char *name, const char *text,
                        struct cm_err *err)
{
    struct cm_buf file;
    cm_buf_init(&file, 512);
    cm_buf_str(&file, ZONES_DIR "/");
    zone_file_name(name, &file);
    char *draft = cm_asprintf("%s.new", file.data);
    const char *check[] = {"nsd-checkzone", name, draft, NULL};
    const char *move[] = {"mv", draft, file.data, NULL};
    struct cm_run_result res;
    int rc = write_in_dns(lab, draft, text, err);
    if (rc == 0) {
        rc = lab_exec(lab, "dns", check, NULL, 0, &res, err);
        if (rc == 0 && res.exit_code != 0)
            rc = cm_err_set(err, CM_ERR_REFUSE, "zone %s: %.400s%.400s", name,
                            res.out.data, res.err.data);
        cm_run_result_clear(&res);
    }
    if (rc == 0)
        rc = in_dns(lab, move, err);
    free(draft);
    cm_buf_clear(&file);
    return rc;
}

static int announce(struct lab *lab, const char *name, struct cm_err *err)
{
    if (is_builtin(name))
        return 0;
    struct cm_buf entry;
    cm_buf_init(&entry, 4096);
    zone_nsd_entry(name, &entry);
    char *path = cm_asprintf(CONF_DIR "/%s.conf", name);
    int rc = write_in_dns(lab, path, entry.data, err);
    free(path);
    cm_buf_clear(&entry);
    return rc;
}

int lab_zone(struct lab *lab, const char *name, const char *records, struct cm_err *err)
{
    if (!zone_name_ok(name))
        return cm_err_set(err, CM_ERR_REFUSE, "\"%s\" is no zone name", name);
    struct cm_buf text;
    cm_buf_init(&text, ZONE_MAX);
    zone_text(name, serial_now(), records, &text);
    int rc = text.overflow
                 ? cm_err_set(err, CM_ERR_REFUSE, "zone %s is too large", name)
                 : replace_zone(lab, name, text.data, err);
    cm_buf_clear(&text);
    const char *restart[] = {"systemctl", "restart", "nsd", NULL};
    const char *flush[] = {"unbound-control", "-q", "flush_zone", ".", NULL};
    if (rc == 0)
        rc = announce(lab, name, err);
    if (rc == 0)
        rc = in_dns(lab, restart, err);
    if (rc == 0)
        rc = in_dns(lab, flush, err);
    return rc;
}
