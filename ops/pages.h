/* pages: the web pages of a relay, from Markdown to files (cmark behind this one file).
 *
 * The sources are those that chatops carries (www/), or the folder that `www_folder`
 * names: FOLDER/src/ with *.md and whatever else, FOLDER/page-layout.html around them.
 * A folder without src/index.md is a finished site and is taken as it is; one that does
 * not exist ("disabled") means no pages.
 *
 * In a *.md and in the layout, {{name}} and sections as in template.h: config.KEY for
 * most keys of [params], open, closed, invite (registrations), link (of the start
 * button), max_message_size_mb; in the layout also pagename, content and refresh.
 * Values are escaped for HTML. Upstream's pages for Jinja work as far as they only name
 * variables. */
#ifndef OP_PAGES_H
#define OP_PAGES_H

#include <stdbool.h>

#include "common/conf.h"
#include "common/err.h"
#include "stack.h"

#define OP_PAGES_ROOT "/var/www/html"

/* Appends the files, owned by root, below OP_PAGES_ROOT. `base`: directory to which a
 * relative www_folder belongs (that of chatmail.ini). refresh: pages load themselves
 * anew (webdev). 1: appended; 0: there are no pages; -1: error, nothing appended. A
 * source with a conflict marker of a merge is an error: half-merged pages are not
 * published. */
CM_MUSTUSE int op_pages_build(const struct cm_conf *conf, const char *base,
                              bool refresh, struct op_files *files, struct cm_err *err);

/* What opens the app with a new profile here: "dcaccount:..." Caller frees. */
char *op_pages_link(const struct cm_conf *conf);

#endif
