/* Runs a fuzz target over the files of its corpus, where libFuzzer is not linked: the corpus is a unit test, too. */
#include <dirent.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>

#define INPUT_MAX (16U << 20)

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t size);

static int replay(const char *folder, const char *name)
{
    char path[4096];
    int n = snprintf(path, sizeof(path), "%s/%s", folder, name);
    FILE *f = n > 0 && (size_t)n < sizeof(path) ? fopen(path, "rb") : NULL;
    uint8_t *data = f ? malloc(INPUT_MAX) : NULL;
    int r = -1;

    if (data) {
        size_t size = fread(data, 1, INPUT_MAX, f);
        uint8_t *exact = malloc(size ? size : 1); /* its end is where the input ends, so that ASan sees a read beyond */
        for (size_t i = 0; exact && i < size; i++)
            exact[i] = data[i];
        r = exact ? LLVMFuzzerTestOneInput(exact, size) : -1;
        free(exact);
    }
    free(data);
    if (f)
        fclose(f);
    return r;
}

int main(int argc, char **argv)
{
    unsigned files = 0;

    for (int i = 1; i < argc; i++) {
        DIR *d = opendir(argv[i]);
        if (!d) {
            perror(argv[i]);
            return 1;
        }
        for (struct dirent *e = readdir(d); e; e = readdir(d)) {
            if (e->d_name[0] == '.')
                continue;
            if (replay(argv[i], e->d_name) < 0) {
                fprintf(stderr, "%s/%s: refused\n", argv[i], e->d_name);
                closedir(d);
                return 1;
            }
            files++;
        }
        closedir(d);
    }
    printf("%u inputs replayed\n", files);
    return files > 0 ? 0 : 1;
}
