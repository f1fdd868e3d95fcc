#include "pages.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include <cmark-gfm-core-extensions.h>
#include <cmark-gfm.h>

#include "common/buf.h"
#include "common/mem.h"
#include "common/template.h"
#include "pages_source.h"
#include "qr.h"

#define VARS_MAX 40
#define TEXT_MAX (1u << 20) /* of one value */

struct vars {
    struct cm_template_var items[VARS_MAX];
    char *owned[VARS_MAX];
    size_t count;
};

/* ---- values ---- */

static char *escaped(const char *text)
{
    struct cm_buf out;

    cm_buf_init(&out, TEXT_MAX);
    for (const char *c = text; *c != '\0'; c++) {
        switch (*c) {
        case '&':
            cm_buf_str(&out, "&amp;");
            break;
        case '<':
            cm_buf_str(&out, "&lt;");
            break;
        case '>':
            cm_buf_str(&out, "&gt;");
            break;
        case '"':
            cm_buf_str(&out, "&quot;");
            break;
        case '\n': /* an address is of lines */
            cm_buf_str(&out, "<br>\n");
            break;
        default:
            cm_buf_add(&out, c, 1);
        }
    }
    return cm_buf_steal(&out);
}

static void take(struct vars *vars, const char *name, char *value)
{
    cm_assert(vars->count < VARS_MAX);
    vars->owned[vars->count] = value;
    vars->items[vars->count++] = (struct cm_template_var){name, value};
}

static void text(struct vars *vars, const char *name, const char *value)
{
    take(vars, name, escaped(value != NULL ? value : ""));
}

static void number(struct vars *vars, const char *name, int64_t value)
{
    take(vars, name, cm_asprintf("%lld", (long long)value));
}

static void flag(struct vars *vars, const char *name, bool value)
{
    take(vars, name, cm_strdup(value ? "yes" : ""));
}

char *op_pages_link(const struct cm_conf *conf)
{
    /* The app does not ask an address beginning with '_' for /new; it makes a name up
     * and logs in. Elsewhere /new says what is allowed here. */
    if (conf->tls_mode == CM_TLS_SELF && !conf->is_ip) {
        return cm_asprintf("dcaccount:%s", conf->mail_domain);
    }
    return cm_asprintf("dcaccount:https://%s/new", conf->mail_domain);
}

static void fill(struct vars *vars, const struct cm_conf *conf)
{
    enum cm_registrations who = conf->store.registrations;
    char *link = op_pages_link(conf);

    text(vars, "link", link);
    free(link);
    flag(vars, "open", who == CM_REGISTRATIONS_OPEN);
    flag(vars, "closed", who == CM_REGISTRATIONS_CLOSED);
    flag(vars, "invite", who == CM_REGISTRATIONS_INVITE);
    text(vars, "config.mail_domain", conf->mail_domain);
    text(vars, "config.max_mailbox_size", conf->max_mailbox_size);
    text(vars, "config.delete_mails_after", conf->delete_mails_after);
    text(vars, "config.delete_large_after", conf->delete_large_after);
    text(vars, "config.privacy_postal", conf->privacy_postal);
    text(vars, "config.privacy_mail", conf->privacy_mail);
    text(vars, "config.privacy_pdo", conf->privacy_pdo);
    text(vars, "config.privacy_supervisor", conf->privacy_supervisor);
    number(vars, "config.max_user_send_per_minute", conf->max_user_send_per_minute);
    number(vars, "config.max_user_send_burst_size", conf->max_user_send_burst_size);
    number(vars, "config.max_message_size", conf->max_message_size);
    number(vars, "max_message_size_mb", conf->max_message_size / 1000000);
    number(vars, "config.delete_inactive_users_after",
           conf->delete_inactive_users_after);
    number(vars, "config.username_min_length", conf->username_min_length);
    number(vars, "config.username_max_length", conf->username_max_length);
    number(vars, "config.password_min_length", conf->password_min_length);
}

static void vars_clear(struct vars *vars)
{
    for (size_t i = 0; i < vars->count; i++) {
        free(vars->owned[i]);
    }
    vars->count = 0;
}

/* ---- one page ---- */

static char *to_html(const char *markdown)
{
    cmark_gfm_core_extensions_ensure_registered();
    cmark_parser *parser = cmark_parser_new(CMARK_OPT_UNSAFE | CMARK_OPT_VALIDATE_UTF8);
    cmark_parser_attach_syntax_extension(parser, cmark_find_syntax_extension("table"));
    cmark_parser_feed(parser, markdown, strlen(markdown));
    cmark_node *document = cmark_parser_finish(parser);
    /* HTML in the Markdown stays: it is the operator's own. */
    char *html = cmark_render_html(document, CMARK_OPT_UNSAFE, NULL);
    cmark_node_free(document);
    cmark_parser_free(parser);
    return html;
}

struct site {
    const struct op_source *layout;
    struct vars vars;
    bool refresh;
};

/* "src/info.md" is page "info"; the start page is called "home", as upstream's. */
static int wrap(const struct site *site, const char *base, const char *html,
                char **page_r, struct cm_err *err)
{
    struct cm_template_var all[VARS_MAX + 3];
    size_t n = site->vars.count;

    memcpy(all, site->vars.items, n * sizeof(*all));
    all[n++] = (struct cm_template_var){"content", html};
    all[n++] = (struct cm_template_var){"pagename",
                                        strcmp(base, "index") == 0 ? "home" : base};
    all[n++] = (struct cm_template_var){"refresh", site->refresh ? "yes" : ""};
    return cm_template_render(site->layout->name, site->layout->data, all, n, page_r,
                              err);
}

static int render(const struct site *site, const struct op_source *source,
                  const char *base, char **page_r, struct cm_err *err)
{
    char *markdown, *html;

    if (cm_template_render(source->name, source->data, site->vars.items,
                           site->vars.count, &markdown, err) != 0) {
        return -1;
    }
    html = to_html(markdown);
    free(markdown);
    int rc = wrap(site, base, html, page_r, err);
    free(html);
    return rc;
}

/* ---- the site ---- */

static void put(struct op_files *files, const char *name, char *content, size_t len)
{
    files->items =
        cm_realloc_array(files->items, files->count + 1, sizeof(*files->items));
    files->items[files->count++] =
        (struct op_file){.path = cm_asprintf(OP_PAGES_ROOT "/%s", name),
                         .content = content,
                         .len = len,
                         .owner = "root:root",
                         .mode = 0644};
}

static char *copy(const struct op_source *source)
{
    char *data = cm_malloc(source->len + 1);
    return memcpy(data, source->data, source->len + 1);
}

static bool has_marker(const struct op_source *source)
{
    static const char *const markers[] = {"<<<<<<< ", ">>>>>>> "};
    for (size_t i = 0; i < 2; i++) {
        const char *at = source->data;
        while ((at = strstr(at, markers[i])) != NULL) {
            if (at == source->data || at[-1] == '\n') {
                return true;
            }
            at++;
        }
    }
    return false;
}

static int put_source(struct site *site, const struct op_source *source,
                      struct op_files *files, struct cm_err *err)
{
    const char *name = source->name + strlen("src/");
    size_t n = strlen(name);

    if (n <= 3 || strcmp(name + n - 3, ".md") != 0) {
        put(files, name, copy(source), source->len);
        return 0;
    }
    char *base = cm_strndup(name, n - 3), *page;
    int rc = render(site, source, base, &page, err);
    if (rc == 0) {
        char *html = cm_asprintf("%s.html", base);
        put(files, html, page, strlen(page));
        free(html);
    }
    free(base);
    return rc;
}

static int put_qr(const struct cm_conf *conf, struct op_files *files,
                  struct cm_err *err)
{
    char *link = op_pages_link(conf), *svg;
    int rc = op_qr_svg(link, &svg, err);

    if (rc == 0) {
        char *name = cm_asprintf("qr-chatmail-invite-%s.svg", conf->mail_domain);
        put(files, name, svg, strlen(svg));
        free(name);
    }
    free(link);
    return rc;
}

static int build(const struct cm_conf *conf, const struct op_sources *sources,
                 bool refresh, struct op_files *files, struct cm_err *err)
{
    struct site site = {.refresh = refresh};
    int rc = 0;

    site.layout = op_sources_find(sources, "page-layout.html");
    if (site.layout == NULL) {
        return cm_err_set(err, CM_ERR_WORLD,
                          "www_folder: there is src/index.md and no page-layout.html "
                          "beside src; it needs at least {{content}} in it");
    }
    fill(&site.vars, conf);
    for (size_t i = 0; i < sources->count && rc == 0; i++) {
        if (strncmp(sources->items[i].name, "src/", 4) == 0) {
            rc = put_source(&site, &sources->items[i], files, err);
        }
    }
    if (rc == 0) {
        rc = put_qr(conf, files, err);
    }
    vars_clear(&site.vars);
    return rc;
}

static int check_merged(const struct op_sources *sources, struct cm_err *err)
{
    for (size_t i = 0; i < sources->count; i++) {
        if (has_marker(&sources->items[i])) {
            return cm_err_set(err, CM_ERR_WORLD,
                              "%s has conflict markers of a merge; resolve them, then "
                              "run again",
                              sources->items[i].name);
        }
    }
    return 0;
}

static int load(const struct cm_conf *conf, const char *base,
                struct op_sources *sources, struct cm_err *err)
{
    const char *folder = conf->www_folder;

    if (folder[0] == '\0') {
        op_sources_own(sources);
        return 1;
    }
    char *path =
        folder[0] == '/' ? cm_strdup(folder) : cm_asprintf("%s/%s", base, folder);
    int rc = op_sources_read(path, sources, err);
    free(path);
    return rc;
}

int op_pages_build(const struct cm_conf *conf, const char *base, bool refresh,
                   struct op_files *files, struct cm_err *err)
{
    struct op_sources sources;
    size_t before = files->count;
    int rc = load(conf, base, &sources, err);

    if (rc != 1) {
        return rc;
    }
    rc = check_merged(&sources, err);
    if (rc == 0 && op_sources_find(&sources, "src/index.md") != NULL) {
        rc = build(conf, &sources, refresh, files, err);
    } else if (rc == 0) {
        for (size_t i = 0; i < sources.count; i++) {
            put(files, sources.items[i].name, copy(&sources.items[i]),
                sources.items[i].len);
        }
    }
    op_sources_clear(&sources);
    while (rc != 0 && files->count > before) {
        struct op_file *last = &files->items[--files->count];
        free(last->path);
        free(last->content);
    }
    return rc == 0 ? files->count > before : -1;
}
