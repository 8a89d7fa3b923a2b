/* Makes the syncs of the process that preloads it fail, as a dying disk does,
 * as long as the file named by FSYNC_FAILS_WHILE exists. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdlib.h>
#include <unistd.h>

static int fails(void) {
    const char *flag = getenv("FSYNC_FAILS_WHILE");
    return flag && access(flag, F_OK) == 0;
}

#define FAILING(name)                                                    \
    int name(int fd) {                                                   \
        if (fails()) {                                                   \
            errno = EIO;                                                 \
            return -1;                                                   \
        }                                                                \
        static int (*real)(int);                                         \
        if (!real) {                                                     \
            real = (int (*)(int))dlsym(RTLD_NEXT, #name);                \
        }                                                                \
        return real(fd);                                                 \
    }

FAILING(fsync)
FAILING(fdatasync)
