/* A plugin of QEMU's user mode that counts the instructions of each thread into a file that can be read meanwhile.
 *
 *   qemu-aarch64 -plugin insn_count.so,out=FILE PROGRAM …
 *
 * FILE holds pairs of unsigned numbers of 64 bits, one pair for each thread that has begun, in that order: the thread's id
 * (the kernel's), and how many instructions it has executed. It is mapped: a reader stops nobody, and what it reads is of
 * that moment. Pairs of zeros are free. A thread adds to its own pair alone. A block is counted when it is entered: one that
 * a signal or a fault leaves early is counted whole.
 */
#define _GNU_SOURCE
#include <fcntl.h>
#include <stdint.h>
#include <string.h>
#include <sys/mman.h>
#include <unistd.h>

#include <qemu-plugin.h>

QEMU_PLUGIN_EXPORT int qemu_plugin_version = QEMU_PLUGIN_VERSION;

#define THREADS 4096 /* that may begin; what further ones do is counted for the last */

static struct counted {
    uint64_t thread, instructions;
} *threads;

static struct counted *of_vcpu[THREADS]; /* QEMU gives a number that is free again to the next thread */

static void begun(qemu_plugin_id_t id, unsigned int vcpu)
{
    static unsigned int begun_so_far;
    unsigned int place = __atomic_fetch_add(&begun_so_far, 1, __ATOMIC_RELAXED);

    (void)id;
    of_vcpu[vcpu % THREADS] = &threads[place < THREADS ? place : THREADS - 1];
    of_vcpu[vcpu % THREADS]->thread = (uint64_t)gettid();
}

static void executed(unsigned int vcpu, void *instructions)
{
    of_vcpu[vcpu % THREADS]->instructions += (uintptr_t)instructions;
}

static void translated(qemu_plugin_id_t id, struct qemu_plugin_tb *block)
{
    (void)id;
    qemu_plugin_register_vcpu_tb_exec_cb(block, executed, QEMU_PLUGIN_CB_NO_REGS,
                                         (void *)(uintptr_t)qemu_plugin_tb_n_insns(block));
}

QEMU_PLUGIN_EXPORT int qemu_plugin_install(qemu_plugin_id_t id, const qemu_info_t *info, int argc, char **argv)
{
    int file;

    (void)info;
    if (argc != 1 || strncmp(argv[0], "out=", 4) != 0)
        return -1;
    file = open(argv[0] + 4, O_RDWR | O_CREAT | O_TRUNC | O_CLOEXEC, 0600);
    if (file < 0 || ftruncate(file, THREADS * sizeof *threads) != 0)
        return -1;
    threads = mmap(NULL, THREADS * sizeof *threads, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    if (threads == MAP_FAILED)
        return -1;
    qemu_plugin_register_vcpu_init_cb(id, begun);
    qemu_plugin_register_vcpu_tb_trans_cb(id, translated);
    return 0;
}
