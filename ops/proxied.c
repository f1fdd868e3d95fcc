#include "proxied.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "common/buf.h"
#include "common/template.h"
#include "proxy/state.h"

#define PARTS    6
#define PART_MAX (256u << 10)

enum part { SMTP, NEAR, FAR, HTTPS, HTTP, FROM };

static int add_smtp(const struct cm_conf *conf, const char *text, const char *at,
                    struct cm_buf *out, struct cm_err *err)
{
    char maxproc[24], per_client[24], *entry;
    int64_t most = conf->max_smtp_connections / 5;
    snprintf(maxproc, sizeof(maxproc), "%lld", (long long)conf->max_smtp_connections);
    snprintf(per_client, sizeof(per_client), "%lld", (long long)(most > 0 ? most : 1));
    const struct cm_template_var vars[] = {
        {"near", at}, {"smtpd_maxproc", maxproc}, {"smtpd_per_client", per_client}};
    if (cm_template_render("postfix/proxied.cf", text, vars,
                           sizeof(vars) / sizeof(vars[0]), &entry, err) != 0) {
        return -1;
    }
    cm_buf_str(out, entry);
    free(entry);
    return 0;
}

/* at: with brackets where it is IPv6. */
static void add_lines(struct cm_buf out[PARTS], const char *near, const char *far,
                      const char *at, bool v6)
{
    cm_buf_fmt(&out[NEAR], "%s ", near);
    cm_buf_fmt(&out[FAR], "%s/%d ", far, v6 ? 128 : 32);
    cm_buf_fmt(&out[HTTPS],
               "        listen %s:%d proxy_protocol backlog=4096 "
               "so_keepalive=2m:30s:4;\n",
               at, 443 + CM_HEADER_PORTS);
    cm_buf_fmt(&out[HTTP], "        listen %s:%d proxy_protocol;\n", at,
               80 + CM_HEADER_PORTS);
    cm_buf_fmt(&out[FROM], "    set_real_ip_from %s;\n", far);
}

static int add_gateway(const struct cm_conf *conf, const char *text, int number,
                       bool ipv6, struct cm_buf out[PARTS], struct cm_err *err)
{
    for (int v6 = 0; v6 <= ipv6; v6++) {
        char near[46], far[46], at[50];
        (v6 ? px_inner6 : px_inner4)(number, 2, near);
        (v6 ? px_inner6 : px_inner4)(number, 1, far);
        snprintf(at, sizeof(at), v6 ? "[%s]" : "%s", near);
        if (add_smtp(conf, text, at, &out[SMTP], err) != 0) {
            return -1;
        }
        add_lines(out, near, far, at, v6);
    }
    return 0;
}

/* Without the last blank or line feed: the template has it. */
static char *take(struct cm_buf *buf)
{
    cm_assert(!buf->overflow);
    char *text = cm_buf_steal(buf);
    size_t len = strlen(text);
    if (len > 0) {
        text[len - 1] = '\0';
    }
    return text;
}

int op_proxied_make(const struct cm_conf *conf, const char *text, bool ipv6,
                    struct op_proxied *proxied_r, struct cm_err *err)
{
    struct cm_buf out[PARTS];
    int rc = 0;
    for (int i = 0; i < PARTS; i++) {
        cm_buf_init(&out[i], PART_MAX);
    }
    for (size_t i = 0; rc == 0 && i < conf->gateway_count; i++) {
        const struct cm_conf_gateway *gw = &conf->gateways[i];
        if (gw->proxy_protocol) {
            rc = add_gateway(conf, text, (int)gw->number, ipv6, out, err);
        }
    }
    if (rc == 0) {
        *proxied_r =
            (struct op_proxied){take(&out[SMTP]),  take(&out[NEAR]), take(&out[FAR]),
                                take(&out[HTTPS]), take(&out[HTTP]), take(&out[FROM])};
    }
    for (int i = 0; i < PARTS; i++) {
        cm_buf_clear(&out[i]);
    }
    return rc;
}

void op_proxied_clear(struct op_proxied *proxied)
{
    free(proxied->smtp);
    free(proxied->near);
    free(proxied->far);
    free(proxied->https);
    free(proxied->http);
    free(proxied->from);
    *proxied = (struct op_proxied){0};
}
