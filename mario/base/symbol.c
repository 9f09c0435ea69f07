/*
 * symbol.c: names for addresses of code. symbol_setup() runs on the main thread, all else on any, in handlers too.
 *
 * What the files tell is copied, since a library may be unloaded while somebody looks. An object once learnt is never
 * freed and never changes, but for `gone`; a new one is put in front of the list, published with release.
 *
 * Names are those of .dynsym, which is in memory; it has the functions that a program shows: all of a library's public
 * ones, and a program's own if it is linked with -rdynamic.
 */
#include "mario/base/symbol.h"

#include <elf.h>
#include <errno.h>
#include <link.h>
#include <stdatomic.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#if defined(__has_include)
#if __has_include(<execinfo.h>)
#include <execinfo.h>
#define HAS_BACKTRACE 1
#endif
#endif

#ifndef HAS_BACKTRACE
#define HAS_BACKTRACE 0
#endif

/* What <link.h> calls ElfW(...): the kind of this machine. */
#if UINTPTR_MAX > 0xffffffff
typedef Elf64_Addr elf_addr;
typedef Elf64_Dyn elf_dyn;
typedef Elf64_Phdr elf_phdr;
typedef Elf64_Sym elf_sym;
#else
typedef Elf32_Addr elf_addr;
typedef Elf32_Dyn elf_dyn;
typedef Elf32_Phdr elf_phdr;
typedef Elf32_Sym elf_sym;
#endif

enum { SYMBOLS_MAX = 1 << 18, NAME_MAX_OWN = 64 };

struct entry {
    uintptr_t at; /* relative to the object's base */
    uint32_t size;
    uint32_t name; /* offset in names */
};

struct object {
    struct object *next; /* constant once published */
    uintptr_t base;      /* what the file's addresses are relative to */
    uintptr_t from, to;  /* its code and data, absolute */
    _Atomic bool gone;   /* not loaded any more: main thread (w) -> any (r) */
    bool seen;           /* main thread: in the round that looks */
    char file[NAME_MAX_OWN];
    uint32_t count;
    struct entry *entries; /* [count], by address */
    char *names;
};

static struct object *_Atomic objects; /* main thread (w) -> any (r) */

/* ---- Learning ---- */

/* What the dynamic section says of the symbols. */
struct tables {
    const elf_sym *symbols;
    const char *strings;
    size_t strings_size;
    size_t count;
};

/* How many symbols a hash table of GNU's kind speaks of: its last chain ends at the last one. */
static size_t count_gnu(const uint32_t *hash)
{
    uint32_t buckets = hash[0], first = hash[1], bloom = hash[2], last = 0;
    const uint32_t *bucket = hash + 4 + bloom * (sizeof(elf_addr) / sizeof(uint32_t)),
                   *chain = bucket + buckets;
    for (uint32_t i = 0; i < buckets; i++)
        last = bucket[i] > last ? bucket[i] : last;
    if (last < first)
        return first;
    while ((chain[last - first] & 1) == 0)
        last++;
    return (size_t) last + 1;
}

/* The loader has made these pointers absolute, in most files; in the kernel's own, vdso, it has not. */
static const void *absolute(elf_addr base, elf_addr p)
{
    return (const void *) (p < base ? base + p : p);
}

static bool read_dynamic(const struct dl_phdr_info *info, struct tables *t)
{
    const elf_dyn *d = NULL;
    *t = (struct tables){.count = 0};
    for (int i = 0; i < info->dlpi_phnum; i++) {
        if (info->dlpi_phdr[i].p_type == PT_DYNAMIC)
            d = (const elf_dyn *) (info->dlpi_addr + info->dlpi_phdr[i].p_vaddr);
    }
    for (; d != NULL && d->d_tag != DT_NULL; d++) {
        const void *p = absolute(info->dlpi_addr, d->d_un.d_ptr);
        if (d->d_tag == DT_SYMTAB)
            t->symbols = p;
        else if (d->d_tag == DT_STRTAB)
            t->strings = p;
        else if (d->d_tag == DT_STRSZ)
            t->strings_size = d->d_un.d_val;
        else if (d->d_tag == DT_HASH && t->count == 0)
            t->count = ((const uint32_t *) p)[1];
        else if (d->d_tag == DT_GNU_HASH)
            t->count = count_gnu(p);
    }
    return t->symbols != NULL && t->strings != NULL && t->count > 0 && t->count <= SYMBOLS_MAX;
}

static bool is_function(const elf_sym *s)
{
    unsigned type = ELF64_ST_TYPE(s->st_info); /* the same bits in a 32-bit file */
    return (type == STT_FUNC || type == STT_GNU_IFUNC) && s->st_shndx != SHN_UNDEF && s->st_value != 0;
}

static int by_address(const void *a, const void *b)
{
    const struct entry *x = a, *y = b;
    return x->at != y->at ? (x->at < y->at ? -1 : 1) : x->name < y->name ? -1 : x->name > y->name;
}

/* Copy the functions and their names. Without memory the object has none. */
static void copy_symbols(struct object *o, const struct tables *t)
{
    size_t bytes = 0, used = 0;
    for (size_t i = 0; i < t->count; i++) {
        if (!is_function(&t->symbols[i]) || t->symbols[i].st_name >= t->strings_size)
            continue;
        o->count++;
        bytes += strlen(t->strings + t->symbols[i].st_name) + 1;
    }
    o->entries = calloc(o->count + 1, sizeof *o->entries);
    o->names = malloc(bytes + 1);
    if (o->entries == NULL || o->names == NULL) {
        o->count = 0;
        return;
    }
    struct entry *e = o->entries;
    for (size_t i = 0; i < t->count; i++) {
        const elf_sym *s = &t->symbols[i];
        if (!is_function(s) || s->st_name >= t->strings_size)
            continue;
        size_t n = strlen(t->strings + s->st_name) + 1;
        *e++ = (struct entry){.at = (uintptr_t) s->st_value,
                              .size = s->st_size > UINT32_MAX ? UINT32_MAX : (uint32_t) s->st_size,
                              .name = (uint32_t) used};
        memcpy(o->names + used, t->strings + s->st_name, n);
        used += n;
    }
    qsort(o->entries, o->count, sizeof *o->entries, by_address);
}

/* The program itself has no name in the list of what is loaded. */
static void set_file(struct object *o, const char *path)
{
    char self[4096];
    ssize_t n = path[0] != '\0' ? -1 : readlink("/proc/self/exe", self, sizeof self - 1);
    if (path[0] == '\0') {
        self[n < 0 ? 0 : n] = '\0';
        path = n <= 0 ? "program" : self;
    }
    const char *slash = strrchr(path, '/');
    const char *name = slash != NULL ? slash + 1 : path;
    memcpy(o->file, name, strnlen(name, sizeof o->file - 1));
}

static void set_range(struct object *o, const struct dl_phdr_info *info)
{
    o->base = info->dlpi_addr;
    o->from = UINTPTR_MAX;
    for (int i = 0; i < info->dlpi_phnum; i++) {
        const elf_phdr *p = &info->dlpi_phdr[i];
        uintptr_t at = info->dlpi_addr + p->p_vaddr;
        if (p->p_type != PT_LOAD)
            continue;
        o->from = at < o->from ? at : o->from;
        o->to = at + p->p_memsz > o->to ? at + p->p_memsz : o->to;
    }
}

static struct object *find_known(const struct object *like)
{
    for (struct object *o = atomic_load_explicit(&objects, memory_order_relaxed); o != NULL; o = o->next) {
        if (!atomic_load_explicit(&o->gone, memory_order_relaxed) && o->base == like->base &&
            o->to == like->to && strcmp(o->file, like->file) == 0)
            return o;
    }
    return NULL;
}

static int learn(struct dl_phdr_info *info, size_t size, void *arg)
{
    struct object fresh = {.next = NULL}, *o;
    struct tables t;
    (void) size;
    (void) arg;
    set_file(&fresh, info->dlpi_name);
    set_range(&fresh, info);
    if ((o = find_known(&fresh)) != NULL) {
        o->seen = true;
        return 0;
    }
    o = malloc(sizeof *o);
    if (o == NULL)
        return 0;
    *o = fresh;
    o->seen = true;
    if (read_dynamic(info, &t))
        copy_symbols(o, &t);
    o->next = atomic_load_explicit(&objects, memory_order_relaxed);
    atomic_store_explicit(&objects, o, memory_order_release);
    return 0;
}

void symbol_setup(void)
{
    void *once[1];
    int saved = errno;
    symbol_frames(once, 1); /* the unwinder is loaded now; later that would need a lock and the heap */
    for (struct object *o = atomic_load_explicit(&objects, memory_order_relaxed); o != NULL; o = o->next)
        o->seen = false;
    dl_iterate_phdr(learn, NULL);
    for (struct object *o = atomic_load_explicit(&objects, memory_order_relaxed); o != NULL; o = o->next) {
        if (!o->seen)
            atomic_store_explicit(&o->gone, true, memory_order_relaxed);
    }
    errno = saved;
}

/* ---- Looking up ---- */

/* The function that at, relative to the object's base, lies in. One without a length reaches to the next. */
static const struct entry *function_at(const struct object *o, uintptr_t at)
{
    uint32_t low = 0, high = o->count; /* entries before low begin at or before at */
    while (low < high) {
        uint32_t middle = low + (high - low) / 2;
        if (o->entries[middle].at <= at)
            low = middle + 1;
        else
            high = middle;
    }
    if (low == 0)
        return NULL;
    const struct entry *e = &o->entries[low - 1];
    return e->size == 0 || at - e->at < e->size ? e : NULL;
}

bool symbol_find(uintptr_t pc, struct symbol *s)
{
    const struct object *o = atomic_load_explicit(&objects, memory_order_acquire);
    while (o != NULL && (pc < o->from || pc >= o->to || atomic_load_explicit(&o->gone, memory_order_relaxed)))
        o = o->next;
    if (o == NULL)
        return false;
    const struct entry *e = function_at(o, pc - o->base);
    s->file = o->file;
    s->function = e != NULL ? o->names + e->name : NULL;
    s->offset = pc - o->base - (e != NULL ? e->at : 0);
    return true;
}

static size_t put(char *out, size_t size, size_t used, const char *text)
{
    for (; *text != '\0' && used + 1 < size; text++)
        out[used++] = *text;
    return used;
}

static size_t put_hex(char *out, size_t size, size_t used, uintptr_t v)
{
    char text[2 * sizeof v + 3], *at = text + sizeof text - 1;
    *at = '\0';
    do {
        *--at = "0123456789abcdef"[v % 16];
        v /= 16;
    } while (v != 0);
    *--at = 'x';
    *--at = '0';
    return put(out, size, used, at);
}

size_t symbol_name(uintptr_t pc, char *out, size_t size)
{
    struct symbol s;
    size_t used = 0;
    if (size == 0)
        return 0;
    if (symbol_find(pc, &s)) {
        used = put(out, size, used, s.function != NULL ? s.function : s.file);
        used = put(out, size, used, "+");
        pc = s.offset;
    }
    used = put_hex(out, size, used, pc);
    out[used] = '\0';
    return used;
}

/* ---- Frames ---- */

#if HAS_BACKTRACE

/* Our own frame comes first, unless calling backtrace() was the last thing done; and a sanitizer's, which is
 * between. */
__attribute__((noinline)) int symbol_frames(void **frames, int max)
{
    enum { OWN_MAX = 3 };
    int n = backtrace(frames, max), own = 0;
    while (own < OWN_MAX && own < n && frames[own] != __builtin_return_address(0))
        own++;
    if (own == OWN_MAX || own >= n)
        return n;
    memmove(frames, frames + own, (size_t) (n - own) * sizeof *frames);
    return n - own;
}

#else

/* Without an unwinder in the C library: along the frame pointers, as long as they lead upwards in small steps. Frames
 * of code without them are left out; a wrong one ends the walk. */
__attribute__((noinline)) int symbol_frames(void **frames, int max)
{
    enum { STEP_MAX = 1 << 20 };
    uintptr_t *frame = __builtin_frame_address(0);
    int n = 0;
    while (n < max && frame != NULL && frame[1] != 0) {
        uintptr_t next = frame[0];
        frames[n++] = (void *) frame[1];
        if (next <= (uintptr_t) frame || next - (uintptr_t) frame > STEP_MAX || next % sizeof next != 0)
            break;
        frame = (uintptr_t *) next;
    }
    return n;
}

#endif
