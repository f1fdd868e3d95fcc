/* Replays a fuzz target's corpus in the ordinary test run: every file of the
 * directories (or files) named on the command line goes once through
 * LLVMFuzzerTestOneInput. An empty corpus is a failure, so that a moved directory
 * cannot pass for a green test. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static unsigned replayed;

static void replay_file(const char *path)
{
    FILE *f = fopen(path, "rb");
    if (f == NULL) {
        return;
    }
    static uint8_t data[1 << 20];
    size_t n = fread(data, 1, sizeof(data), f);
    if (!ferror(f)) {
        /* An exact-size copy, so that ASan sees a read past the end. */
        uint8_t *copy = malloc(n > 0 ? n : 1);
        if (copy == NULL) {
            abort();
        }
        memcpy(copy, data, n);
        LLVMFuzzerTestOneInput(copy, n);
        free(copy);
        replayed++;
    }
    fclose(f);
}

int main(int argc, char **argv)
{
    for (int i = 1; i < argc; i++) {
        DIR *dir = opendir(argv[i]);
        if (dir == NULL) {
            replay_file(argv[i]);
            continue;
        }
        for (struct dirent *e; (e = readdir(dir)) != NULL;) {
            if (e->d_name[0] == '.') {
                continue;
            }
            char path[4096];
            if (snprintf(path, sizeof(path), "%s/%s", argv[i], e->d_name) <
                (int)sizeof(path)) {
                replay_file(path);
            }
        }
        closedir(dir);
    }
    printf("replayed %u inputs\n", replayed);
    return replayed > 0 ? 0 : 1;
}
