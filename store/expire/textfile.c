#include "textfile.h"

#include <stdbool.h>
#include <stdlib.h>
#include <sys/stat.h>

#include "common/file.h"
#include "common/mem.h"

int textfile_write(const char *path, const char *name, const char *text, size_t len,
                   struct cm_err *err)
{
    struct stat st;
    bool is_dir = stat(path, &st) == 0 && S_ISDIR(st.st_mode);
    char *file = is_dir ? cm_asprintf("%s/%s", path, name) : cm_strdup(path);
    int rc = cm_file_replace(file, text, len, 0644, err);
    free(file);
    return rc;
}
