#include "conf_setting.h"

#include <stdlib.h>
#include <string.h>

#define MAX_TEXT (256u * 1024)
#define WRAP     78

void cm_setting_allowed(const struct cm_setting *setting, struct cm_buf *out)
{
    cm_buf_str(out, setting->type->allowed);
    if (setting->max > setting->min) {
        cm_buf_fmt(out, ", %lld to %lld", (long long)setting->min,
                   (long long)setting->max);
    }
}

/* Help as comment lines, broken between words. */
static void add_comment(struct cm_buf *out, const char *text)
{
    size_t column = 1;
    cm_buf_str(out, "#");
    while (*text != '\0') {
        size_t n = strcspn(text, " ");
        if (column + 1 + n > WRAP) {
            cm_buf_str(out, "\n#");
            column = 1;
        }
        cm_buf_str(out, " ");
        cm_buf_add(out, text, n);
        column += 1 + n;
        text += n + strspn(text + n, " ");
    }
    cm_buf_str(out, "\n");
}

static void add_setting(struct cm_buf *out, const struct cm_setting *s,
                        const char *value)
{
    cm_buf_str(out, "\n");
    add_comment(out, s->help);
    bool blank = value == NULL || *value == '\0';
    cm_buf_fmt(out, "%s%s =%s%s\n", s->in_generated_ini == CM_INI_LIVE ? "" : "# ",
               s->key, blank ? "" : " ", blank ? "" : value);
}

static void add_section(struct cm_buf *out, const char *section, const char *domain)
{
    for (const struct cm_setting *s = cm_settings; s->key != NULL; s++) {
        if (strcmp(s->section, section) == 0 && s->in_generated_ini != CM_INI_HIDDEN) {
            bool is_domain = s->type == &cm_type_domain;
            add_setting(out, s, is_domain ? domain : s->fallback);
        }
    }
}

char *cm_conf_default_text(const char *domain)
{
    struct cm_buf out;
    cm_buf_init(&out, MAX_TEXT);
    add_comment(&out,
                "Settings of a chatmail relay. A line with a default begins with #: "
                "take that away to change it, then type: chatops run");
    cm_buf_str(&out, "\n[params]\n");
    add_section(&out, "params", domain);
    cm_buf_str(&out, "\n[store]\n");
    add_section(&out, "store", domain);
    cm_buf_str(&out, "\n");
    add_comment(&out,
                "One section for each gateway, a machine with public addresses in "
                "front of the store; \"chatops gateway add\" writes it. Without "
                "any, clients come to the store itself.");
    cm_buf_str(&out, "#\n# [gateway edge1]\n");
    add_section(&out, "gateway", domain);
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}

/* Only an optional setting has a default or a meaning when it is away. */
static bool is_required(const struct cm_setting *s)
{
    return s->fallback == NULL &&
           (s->type == &cm_type_domain || strcmp(s->section, "gateway") == 0);
}

static void add_row(struct cm_buf *out, const struct cm_setting *s)
{
    const char *name = strcmp(s->section, "gateway") == 0 ? "gateway NAME" : s->section;
    cm_buf_fmt(out, "| `[%s] %s` | ", name, s->key);
    cm_setting_allowed(s, out);
    if (s->fallback == NULL) {
        cm_buf_str(out, is_required(s) ? " | required" : " | unset");
    } else if (*s->fallback == '\0') {
        cm_buf_str(out, " | empty");
    } else {
        cm_buf_fmt(out, " | `%s`", s->fallback);
    }
    cm_buf_fmt(out, " | %s |\n", s->help);
}

char *cm_conf_reference(void)
{
    struct cm_buf out;
    cm_buf_init(&out, MAX_TEXT);
    cm_buf_str(&out, "| setting | allowed | default | meaning |\n|---|---|---|---|\n");
    for (const struct cm_setting *s = cm_settings; s->key != NULL; s++) {
        add_row(&out, s);
    }
    cm_assert(!out.overflow);
    return cm_buf_steal(&out);
}
