/* A wall clock that can be set for some processes only: LD_PRELOAD this, WALL_CLOCK names a file of
   8 bytes, the seconds that it is ahead (a signed number, in the machine's own order of bytes).
   Every other clock is left alone. A wait until a time of the wall clock ends as it would in the
   kernel, whose clock may be set meanwhile. */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <fcntl.h>
#include <pthread.h>
#include <semaphore.h>
#include <stdint.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <sys/syscall.h>
#include <sys/time.h>
#include <time.h>
#include <unistd.h>

static int64_t ahead_s(void) {
    static volatile int64_t *seconds;
    if (!seconds) {
        int file = open(getenv("WALL_CLOCK"), O_RDONLY | O_CLOEXEC);
        seconds = mmap(NULL, sizeof *seconds, PROT_READ, MAP_SHARED, file, 0);
        close(file);
    }
    return *seconds;
}

int clock_gettime(clockid_t clock, struct timespec *now) {
    int failed = syscall(SYS_clock_gettime, clock, now);
    if (!failed && (clock == CLOCK_REALTIME || clock == CLOCK_REALTIME_COARSE))
        now->tv_sec += ahead_s();
    return failed;
}

int gettimeofday(struct timeval *now, void *zone) {
    struct timespec found;
    (void)zone;
    clock_gettime(CLOCK_REALTIME, &found);
    now->tv_sec = found.tv_sec;
    now->tv_usec = found.tv_nsec / 1000;
    return 0;
}

time_t time(time_t *now) {
    struct timespec found;
    clock_gettime(CLOCK_REALTIME, &found);
    if (now)
        *now = found.tv_sec;
    return found.tv_sec;
}

/* When to look at the clock again: soon, by the one that the kernel knows. */
static struct timespec soon(void) {
    struct timespec found;
    syscall(SYS_clock_gettime, CLOCK_REALTIME, &found);
    if ((found.tv_nsec += 10000000) >= 1000000000) {
        found.tv_nsec -= 1000000000;
        found.tv_sec++;
    }
    return found;
}

static int over(const struct timespec *until) {
    struct timespec now;
    clock_gettime(CLOCK_REALTIME, &now);
    return now.tv_sec > until->tv_sec ||
           (now.tv_sec == until->tv_sec && now.tv_nsec >= until->tv_nsec);
}

int sem_timedwait(sem_t *semaphore, const struct timespec *until) {
    static int (*real)(sem_t *, const struct timespec *);
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "sem_timedwait");
    for (;;) {
        struct timespec next = soon();
        if (!real(semaphore, &next))
            return 0;
        if (errno != ETIMEDOUT || over(until))
            return -1;
    }
}

int pthread_cond_timedwait(pthread_cond_t *condition, pthread_mutex_t *mutex,
                           const struct timespec *until) {
    static int (*real)(pthread_cond_t *, pthread_mutex_t *, const struct timespec *);
    if (!real) /* the one of x86-64 since 2003; others have one only */
        *(void **)&real = dlvsym(RTLD_NEXT, "pthread_cond_timedwait", "GLIBC_2.3.2");
    if (!real)
        *(void **)&real = dlsym(RTLD_NEXT, "pthread_cond_timedwait");
    if (until->tv_sec < 1000000000) /* seconds since the machine's start: another clock */
        return real(condition, mutex, until);
    for (;;) {
        struct timespec next = soon();
        int found = real(condition, mutex, &next);
        if (found != ETIMEDOUT || over(until))
            return found;
    }
}
