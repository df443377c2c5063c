/* A disk that writes everything down.
 *
 * Preloaded into a process, this library sees every call that changes files below DISK_ROOT and every byte that leaves
 * over TCP, in one order, and appends each to the journal DISK_JOURNAL. From the journal the disk can be put together
 * as it would have been found after a power cut at any moment. DISK_CONTROL names a page shared with the test, by
 * which the disk becomes full, read-only or broken.
 *
 * Symbols are not replaced: crates call the kernel directly, past libc. A seccomp filter makes the kernel hand the calls over
 * as SIGSYS, whoever makes them, except those made from one page of code, which is ours.
 */
#define _GNU_SOURCE
#include <errno.h>
#include <fcntl.h>
#include <linux/audit.h>
#include <linux/filter.h>
#include <linux/seccomp.h>
#include <netinet/in.h>
#include <signal.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <sys/prctl.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/statfs.h>
#include <sys/syscall.h>
#include <sys/uio.h>
#include <time.h>
#include <ucontext.h>

#ifndef __x86_64__
#error "the layer knows the registers of x86-64 only"
#endif

/* --- the way past the filter ------------------------------------------------------------------------------------- */

__asm__(".section .text.disk,\"ax\",@progbits\n"
        ".balign 4096\n"
        ".hidden disk_call\n.globl disk_call\n"
        "disk_call:\n"
        "  mov %rdi, %rax\n  mov %rsi, %rdi\n  mov %rdx, %rsi\n  mov %rcx, %rdx\n"
        "  mov %r8, %r10\n  mov %r9, %r8\n  mov 8(%rsp), %r9\n"
        "  syscall\n  ret\n"
        ".balign 4096\n"
        ".previous\n");
extern long disk_call(long number, long a, long b, long c, long d, long e, long f)
    __attribute__((visibility("hidden")));
#define CALL(number, a, b, c, d, e, f) \
    disk_call(number, (long)(a), (long)(b), (long)(c), (long)(d), (long)(e), (long)(f))

/* --- what is shared with the test --------------------------------------------------------------------------------- */

enum { FULL = 1, READ_ONLY = 2, WRITE_ERROR = 4, SYNC_ERROR = 8 };

struct control {
    uint32_t faults;
    uint32_t hits;     /* calls that were failed */
    int64_t countdown; /* bytes and calls until the faults begin */
    uint64_t room;     /* what the disk says is free; 0: the truth */
    uint64_t sync_nanos; /* how long a sync takes */
};

enum kind {
    CREATE = 1, WRITE, RESIZE, SYNC_BEGIN, SYNC_END, MAKE_FOLDER, UNLINK, REMOVE_FOLDER, RENAME, SEND, UNKNOWN, START
};

struct record {
    uint32_t length; /* with this head */
    uint32_t kind;
    uint64_t inode;  /* or the peer's port */
    uint64_t number; /* offset, size or the sync's number */
    uint32_t first;  /* length of the first path */
    uint32_t second; /* length of the second path */
};

static char root[4096];
static size_t root_length;
static int journal = -1;
static struct control nothing, *control = &nothing;
static uint64_t syncs;
static int taken;

static void lock(void) {
    while (__atomic_exchange_n(&taken, 1, __ATOMIC_ACQUIRE)) CALL(SYS_sched_yield, 0, 0, 0, 0, 0, 0);
}
static void unlock(void) { __atomic_store_n(&taken, 0, __ATOMIC_RELEASE); }

static void die(const char *why) {
    CALL(SYS_write, 2, why, strlen(why), 0, 0, 0);
    CALL(SYS_exit_group, 99, 0, 0, 0, 0, 0);
}

/* One append, so that records of several processes never mix. */
static void put(enum kind kind, uint64_t inode, uint64_t number, const char *first, const char *second,
                const struct iovec *data, int parts, size_t bytes) {
    struct record record = {0, kind, inode, number, first ? strlen(first) : 0, second ? strlen(second) : 0};
    struct iovec all[64];
    int count = 0;
    if (parts > 60) die("disk: too many parts in one write\n");
    all[count++] = (struct iovec){&record, sizeof record};
    if (record.first) all[count++] = (struct iovec){(void *)first, record.first};
    if (record.second) all[count++] = (struct iovec){(void *)second, record.second};
    record.length = sizeof record + record.first + record.second + bytes;
    for (int part = 0; part < parts && bytes; part++) {
        size_t length = data[part].iov_len < bytes ? data[part].iov_len : bytes;
        if (length) all[count++] = (struct iovec){data[part].iov_base, length};
        bytes -= length;
    }
    if (CALL(SYS_writev, journal, all, count, 0, 0, 0) != (long)record.length) die("disk: the journal is full\n");
}

/* --- which files are ours ----------------------------------------------------------------------------------------- */

static int below(const char *path) {
    return strncmp(path, root, root_length) == 0 && (path[root_length] == '/' || path[root_length] == 0);
}

static int place_of(int fd, char *out) {
    char link[40] = "/proc/self/fd/", digits[12];
    int count = 0, at = 14;
    unsigned number = fd;
    do digits[count++] = '0' + number % 10; while (number /= 10);
    while (count) link[at++] = digits[--count];
    link[at] = 0;
    long length = CALL(SYS_readlink, link, out, 4095, 0, 0, 0);
    out[length < 0 ? 0 : length] = 0;
    return length > 0;
}

/* The absolute path of a name given to a call; whether it is ours. */
static int resolve(int folder, const char *name, char *out) {
    size_t length = 0;
    out[0] = 0;
    if (!name) return 0;
    if (name[0] != '/') {
        if (folder == AT_FDCWD) {
            if (CALL(SYS_getcwd, out, 4096, 0, 0, 0, 0) < 0) return 0;
        } else if (!place_of(folder, out)) {
            return 0;
        }
        length = strlen(out);
        out[length++] = '/';
    }
    size_t rest = strlen(name);
    if (length + rest > 4095) return 0;
    memcpy(out + length, name, rest + 1);
    return below(out);
}

/* The kind of a descriptor, and for a file of ours its inode. */
static mode_t look(int fd, uint64_t *inode) {
    struct stat stat;
    char path[4096];
    if (CALL(SYS_fstat, fd, &stat, 0, 0, 0, 0) < 0) return 0;
    *inode = stat.st_ino;
    if (S_ISSOCK(stat.st_mode)) return S_IFSOCK;
    if (!S_ISREG(stat.st_mode) && !S_ISDIR(stat.st_mode)) return 0;
    return place_of(fd, path) && below(path) ? stat.st_mode & S_IFMT : 0;
}

static uint16_t peer(int fd) {
    struct sockaddr_in address;
    socklen_t length = sizeof address;
    if (CALL(SYS_getpeername, fd, &address, &length, 0, 0, 0) < 0 || address.sin_family != AF_INET) return 0;
    return ntohs(address.sin_port);
}

/* --- faults ------------------------------------------------------------------------------------------------------- */

static int64_t spend(int64_t bytes) {
    return __atomic_sub_fetch(&control->countdown, bytes, __ATOMIC_ACQ_REL);
}

/* The error a change of so many bytes meets, if any. */
static long fault(int64_t bytes, int grows) {
    uint32_t faults = __atomic_load_n(&control->faults, __ATOMIC_ACQUIRE);
    if (!(faults & ~SYNC_ERROR) || spend(bytes) > 0) return 0;
    long error = faults & READ_ONLY ? -EROFS : faults & WRITE_ERROR ? -EIO : grows ? -ENOSPC : 0;
    if (error) __atomic_add_fetch(&control->hits, 1, __ATOMIC_RELAXED);
    return error;
}

/* --- the calls ---------------------------------------------------------------------------------------------------- */

static size_t total(const struct iovec *parts, int count) {
    size_t sum = 0;
    for (int part = 0; part < count; part++) sum += parts[part].iov_len;
    return sum;
}

static long write_file(long number, const long *a, uint64_t inode, const struct iovec *parts, int count, int positioned) {
    lock();
    /* A file's last bytes still fit where they replace others; only the whole of a write is judged here. */
    long result = fault(total(parts, count), 1);
    if (!result) result = CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result > 0) {
        uint64_t offset = positioned ? (uint64_t)a[3] : (uint64_t)(CALL(SYS_lseek, a[0], 0, SEEK_CUR, 0, 0, 0) - result);
        put(WRITE, inode, offset, 0, 0, parts, count, result);
    }
    unlock();
    return result;
}

static long send_bytes(long number, const long *a, const struct iovec *parts, int count) {
    uint16_t port = peer(a[0]);
    if (port) {
        /* Written down before it leaves: nobody outside can know it earlier than the journal. */
        lock();
        put(SEND, port, 0, 0, 0, parts, count, total(parts, count));
        unlock();
    }
    return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long writing(long number, const long *a, const struct iovec *parts, int count, int positioned) {
    uint64_t inode;
    mode_t kind = look(a[0], &inode);
    if (kind == S_IFREG) return write_file(number, a, inode, parts, count, positioned);
    if (kind == S_IFSOCK) return send_bytes(number, a, parts, count);
    return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long opening(int folder, const char *name, long flags, long mode) {
    char path[8192];
    struct stat before, after;
    if (!resolve(folder, name, path) || !(flags & (O_CREAT | O_TRUNC | O_WRONLY | O_RDWR)) || (flags & O_TMPFILE) == O_TMPFILE) {
        long result = CALL(SYS_openat, folder, name, flags, mode, 0, 0);
        if (result >= 0 && (flags & O_TMPFILE) == O_TMPFILE && place_of(result, path) && below(path)) {
            lock();
            put(UNKNOWN, 0, SYS_openat, path, 0, 0, 0, 0);
            unlock();
        }
        return result;
    }
    lock();
    int there = CALL(SYS_stat, path, &before, 0, 0, 0, 0) == 0;
    long result = 0;
    if (__atomic_load_n(&control->faults, __ATOMIC_ACQUIRE)) result = fault(there ? 0 : 1, !there);
    if (!result) result = CALL(SYS_openat, folder, name, flags, mode, 0, 0);
    if (result >= 0 && CALL(SYS_fstat, result, &after, 0, 0, 0, 0) == 0 && S_ISREG(after.st_mode)) {
        if (!there) put(CREATE, after.st_ino, 0, path, 0, 0, 0, 0);
        else if ((flags & O_TRUNC) && before.st_size) put(RESIZE, after.st_ino, 0, 0, 0, 0, 0, 0);
    }
    unlock();
    return result;
}

static long resizing(long number, const long *a) {
    uint64_t inode;
    struct stat before;
    if (look(a[0], &inode) != S_IFREG) return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    lock();
    CALL(SYS_fstat, a[0], &before, 0, 0, 0, 0);
    long result = fault(1, a[1] > before.st_size);
    if (!result) result = CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result == 0) put(RESIZE, inode, a[1], 0, 0, 0, 0, 0);
    unlock();
    return result;
}

static long syncing(long number, const long *a) {
    uint64_t inode;
    mode_t kind = look(a[0], &inode);
    if (kind != S_IFREG && kind != S_IFDIR) return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (__atomic_load_n(&control->faults, __ATOMIC_ACQUIRE) & SYNC_ERROR && spend(1) <= 0) {
        __atomic_add_fetch(&control->hits, 1, __ATOMIC_RELAXED);
        return -EIO;
    }
    lock();
    uint64_t sync = ++syncs;
    put(SYNC_BEGIN, inode, sync, 0, 0, 0, 0, 0);
    unlock();
    /* This disk is the journal, so nothing has to be waited for but the time that a disk would take. */
    struct timespec time = {0, control->sync_nanos};
    CALL(SYS_nanosleep, &time, 0, 0, 0, 0, 0);
    lock();
    put(SYNC_END, inode, sync, 0, 0, 0, 0, 0);
    unlock();
    return 0;
}

static long naming(long number, const long *a, enum kind kind, int folder, const char *name, int folder2, const char *name2) {
    char first[8192], second[8192];
    struct stat stat;
    int ours = resolve(folder, name, first);
    int ours2 = name2 ? resolve(folder2, name2, second) : 0;
    if (!ours && !ours2) return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    lock();
    long result = fault(1, kind == MAKE_FOLDER);
    if (!result) result = CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    if (result == 0) {
        if (ours != ours2 && name2) kind = UNKNOWN;
        if (kind == MAKE_FOLDER) CALL(SYS_stat, first, &stat, 0, 0, 0, 0);
        put(kind, kind == MAKE_FOLDER ? stat.st_ino : 0, kind == UNKNOWN ? number : 0, first, name2 ? second : 0, 0, 0, 0);
    }
    unlock();
    return result;
}

/* A call that changes a file of ours in a way that the journal has no words for. */
static long unknown(long number, const long *a, int fd) {
    uint64_t inode = 0;
    mode_t kind = fd < 0 ? S_IFREG : look(fd, &inode);
    if (kind == S_IFREG) {
        lock();
        put(UNKNOWN, inode, number, 0, 0, 0, 0, 0);
        unlock();
    }
    return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
}

static long room(long number, const long *a) {
    long result = CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    uint64_t free = __atomic_load_n(&control->room, __ATOMIC_ACQUIRE);
    struct statfs *disk = (struct statfs *)a[1];
    if (result == 0 && free) disk->f_bavail = disk->f_bfree = free / (disk->f_frsize ? disk->f_frsize : disk->f_bsize);
    return result;
}

static long handle(long number, const long *a) {
    struct iovec one = {(void *)a[1], a[2]};
    const struct msghdr *message = (const struct msghdr *)a[1];
    switch (number) {
    case SYS_write: return writing(number, a, &one, 1, 0);
    case SYS_pwrite64: return writing(number, a, &one, 1, 1);
    case SYS_writev: return writing(number, a, (const struct iovec *)a[1], a[2], 0);
    case SYS_pwritev: return writing(number, a, (const struct iovec *)a[1], a[2], 1);
    case SYS_sendto: return send_bytes(number, a, &one, 1);
    case SYS_sendmsg: return send_bytes(number, a, message->msg_iov, message->msg_iovlen);
    case SYS_open: return opening(AT_FDCWD, (const char *)a[0], a[1], a[2]);
    case SYS_creat: return opening(AT_FDCWD, (const char *)a[0], O_CREAT | O_TRUNC | O_WRONLY, a[1]);
    case SYS_openat: return opening(a[0], (const char *)a[1], a[2], a[3]);
    case SYS_ftruncate: return resizing(number, a);
    case SYS_fsync:
    case SYS_fdatasync: return syncing(number, a);
    /* Flushes no disk's cache and no file's size: it promises nothing. */
    case SYS_sync_file_range: return CALL(number, a[0], a[1], a[2], a[3], a[4], a[5]);
    case SYS_mkdir: return naming(number, a, MAKE_FOLDER, AT_FDCWD, (const char *)a[0], 0, 0);
    case SYS_mkdirat: return naming(number, a, MAKE_FOLDER, a[0], (const char *)a[1], 0, 0);
    case SYS_rmdir: return naming(number, a, REMOVE_FOLDER, AT_FDCWD, (const char *)a[0], 0, 0);
    case SYS_unlink: return naming(number, a, UNLINK, AT_FDCWD, (const char *)a[0], 0, 0);
    case SYS_unlinkat:
        return naming(number, a, a[2] & AT_REMOVEDIR ? REMOVE_FOLDER : UNLINK, a[0], (const char *)a[1], 0, 0);
    case SYS_rename: return naming(number, a, RENAME, AT_FDCWD, (const char *)a[0], AT_FDCWD, (const char *)a[1]);
    case SYS_renameat: return naming(number, a, RENAME, a[0], (const char *)a[1], a[2], (const char *)a[3]);
    case SYS_renameat2:
        return naming(number, a, a[4] & ~1L ? UNKNOWN : RENAME, a[0], (const char *)a[1], a[2], (const char *)a[3]);
    case SYS_link: return naming(number, a, UNKNOWN, AT_FDCWD, (const char *)a[0], AT_FDCWD, (const char *)a[1]);
    case SYS_linkat: return naming(number, a, UNKNOWN, a[0], (const char *)a[1], a[2], (const char *)a[3]);
    case SYS_symlink: return naming(number, a, UNKNOWN, AT_FDCWD, (const char *)a[1], 0, 0);
    case SYS_symlinkat: return naming(number, a, UNKNOWN, a[1], (const char *)a[2], 0, 0);
    case SYS_statfs:
    case SYS_fstatfs: return room(number, a);
    case SYS_copy_file_range:
    case SYS_splice: return unknown(number, a, a[2]);
    case SYS_sendfile:
    case SYS_fallocate:
    case SYS_pwritev2: return unknown(number, a, a[0]);
    case SYS_truncate:
    case SYS_openat2:
    case SYS_sendmmsg:
    case SYS_io_uring_setup: return unknown(number, a, -1);
    default: die("disk: a call that the filter does not name\n"); return 0;
    }
}

static const uint32_t trapped[] = {
    SYS_write, SYS_pwrite64, SYS_writev, SYS_pwritev, SYS_pwritev2, SYS_sendto, SYS_sendmsg, SYS_sendmmsg, SYS_open, SYS_creat,
    SYS_openat, SYS_openat2, SYS_ftruncate, SYS_truncate, SYS_fallocate, SYS_fsync, SYS_fdatasync, SYS_sync_file_range,
    SYS_mkdir, SYS_mkdirat, SYS_rmdir, SYS_unlink, SYS_unlinkat, SYS_rename, SYS_renameat, SYS_renameat2, SYS_link, SYS_linkat,
    SYS_symlink, SYS_symlinkat, SYS_statfs, SYS_fstatfs, SYS_copy_file_range, SYS_splice, SYS_sendfile, SYS_io_uring_setup,
};

static void on_call(int signal, siginfo_t *info, void *context) {
    (void)signal;
    greg_t *registers = ((ucontext_t *)context)->uc_mcontext.gregs;
    long arguments[6] = {registers[REG_RDI], registers[REG_RSI], registers[REG_RDX],
                         registers[REG_R10], registers[REG_R8],  registers[REG_R9]};
    registers[REG_RAX] = handle(info->si_syscall, arguments);
}

__attribute__((constructor)) static void begin(void) {
    const char *where = getenv("DISK_ROOT"), *to = getenv("DISK_JOURNAL"), *by = getenv("DISK_CONTROL");
    if (!where || !to || !by) return;
    unsetenv("LD_PRELOAD");
    root_length = strlen(where);
    if (root_length >= sizeof root) die("disk: DISK_ROOT is too long\n");
    memcpy(root, where, root_length + 1);
    journal = open(to, O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
    int page = open(by, O_RDWR | O_CLOEXEC);
    if (journal < 0 || page < 0) die("disk: the journal or the control page cannot be opened\n");
    control = mmap(0, 4096, PROT_READ | PROT_WRITE, MAP_SHARED, page, 0);
    if (control == MAP_FAILED) die("disk: the control page cannot be mapped\n");
    close(page);

    enum { COUNT = sizeof trapped / sizeof *trapped };
    struct sock_filter filter[COUNT + 10];
    uint64_t ours = (uint64_t)disk_call;
    int at = 0;
#define STEP(...) filter[at++] = (struct sock_filter)__VA_ARGS__
    STEP(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, nr)));
    for (int call = 0; call < COUNT; call++)
        STEP(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, trapped[call], COUNT - call, 0));
    STEP(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    STEP(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer) + 4));
    STEP(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)(ours >> 32), 0, 4));
    STEP(BPF_STMT(BPF_LD | BPF_W | BPF_ABS, offsetof(struct seccomp_data, instruction_pointer)));
    STEP(BPF_STMT(BPF_ALU | BPF_AND | BPF_K, ~4095u));
    STEP(BPF_JUMP(BPF_JMP | BPF_JEQ | BPF_K, (uint32_t)ours & ~4095u, 0, 1));
    STEP(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_ALLOW));
    STEP(BPF_STMT(BPF_RET | BPF_K, SECCOMP_RET_TRAP));
    struct sock_fprog program = {at, filter};

    struct sigaction action = {.sa_sigaction = on_call, .sa_flags = SA_SIGINFO | SA_RESTART | SA_NODEFER};
    put(START, CALL(SYS_getpid, 0, 0, 0, 0, 0, 0), 0, 0, 0, 0, 0, 0);
    if (sigaction(SIGSYS, &action, 0) < 0 || prctl(PR_SET_NO_NEW_PRIVS, 1, 0, 0, 0) < 0 ||
        prctl(PR_SET_SECCOMP, SECCOMP_MODE_FILTER, &program) < 0)
        die("disk: the filter is not taken\n");
}
