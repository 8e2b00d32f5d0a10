/* A CUDA driver whose GPU is a thread a stream, in the memory of the CPU: for tests on machines without a GPU.
 *
 * What it does, it does for real: contexts are current in one thread at a time and asked for; streams run behind
 * the caller's back, in order; events carry the time at which the stream came to them; captured work is recorded and
 * not done; and mapped memory lies at one address for the CPU and at another for the device, over the same pages.
 * All else that PyCUDA links is there by name and answers "not supported". fake_* is for the tests.
 */
#define _GNU_SOURCE
#include <cuda.h>
#include <dlfcn.h>
#include <pthread.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/mman.h>
#include <time.h>
#include <unistd.h>

#define MOST 4096
#define API __attribute__((visibility("default")))

typedef struct op {
    enum { SET, COPY, CALL, MARK } kind;
    void *to;
    const void *from;
    size_t width, height, to_pitch, from_pitch;
    int value;
    CUhostFn call;
    struct CUevent_st *event;
    long mark;
    struct op *next;
} op;

struct CUctx_st { int retained; };
struct CUevent_st { long asked, reached; double at_s; };
struct CUstream_st {
    pthread_t thread;
    pthread_mutex_t lock;
    pthread_cond_t changed;
    op *first, *last;
    int running, ending, priority;
    struct CUgraph_st *capture;
};
struct CUgraph_st { op *ops[MOST]; int count; };

typedef struct { char *host, *device; size_t size; int mapped; } block;

static struct CUctx_st primary;
static __thread CUcontext current_stack[16];
static __thread int current_depth;
static pthread_mutex_t lock = PTHREAD_MUTEX_INITIALIZER;
static block blocks[MOST];
static struct { long streams, events, graphs, misuses, host_bytes, device_bytes, launches, page_offset, egl, modules; } live;
static char failing[64];
static int failure, failures, delay_us, hanging;

/* For the tests. */
API long fake_count(const char *what) {
    struct { const char *name; long value; } counts[] = {
        {"streams", live.streams}, {"events", live.events}, {"graphs", live.graphs}, {"misuses", live.misuses},
        {"host_bytes", live.host_bytes}, {"device_bytes", live.device_bytes}, {"retained", primary.retained},
        {"launches", live.launches}, {"depth", current_depth}, {"egl", live.egl}, {"modules", live.modules},
    };
    for (size_t i = 0; i < sizeof counts / sizeof *counts; i++)
        if (!strcmp(counts[i].name, what)) return counts[i].value;
    return -1;
}
API void fake_fail_next(const char *name, int status, int times) { snprintf(failing, sizeof failing, "%s", name); failure = status; failures = times; }
API void fake_delay_us(int us) { delay_us = us; }
API void fake_hang(int on) { __atomic_store_n(&hanging, on, __ATOMIC_SEQ_CST); }
API void fake_page_offset(int bytes) { live.page_offset = bytes; }

/* Whether so many bytes at an address of the device belong to it. */
API int fake_is_device(unsigned long long address, unsigned long long nbytes) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST && !found; i++)
        found = blocks[i].device && (char *)address >= blocks[i].device
                && (char *)address + nbytes <= blocks[i].device + blocks[i].size;
    pthread_mutex_unlock(&lock);
    return found;
}

static int misuse(CUresult status) { live.misuses++; return status; }
static CUresult failed(const char *name) {
    if (!failures || strcmp(failing, name)) return CUDA_SUCCESS;
    failures--;
    return failure;
}
/* Every call but the first few wants a current context. */
#define IN_CONTEXT()                                                                  \
    do {                                                                              \
        CUresult wrong = failed(__func__);                                            \
        if (wrong) return wrong;                                                      \
        if (!current_depth) return misuse(CUDA_ERROR_INVALID_CONTEXT);                \
    } while (0)

/* The device. */
CUresult cuInit(unsigned flags) { (void)flags; return failed(__func__); }
CUresult cuDriverGetVersion(int *version) { *version = 13000; return CUDA_SUCCESS; }
CUresult cuDeviceGetCount(int *count) { *count = 1; return CUDA_SUCCESS; }
CUresult cuDeviceGet(CUdevice *device, int ordinal) { *device = ordinal; return ordinal ? CUDA_ERROR_INVALID_DEVICE : failed(__func__); }
CUresult cuDeviceGetName(char *name, int length, CUdevice device) { (void)device; snprintf(name, length, "threads in place of a GPU"); return CUDA_SUCCESS; }
CUresult cuDeviceTotalMem(size_t *bytes, CUdevice device) { (void)device; *bytes = 8ul << 30; return CUDA_SUCCESS; }
CUresult cuDeviceComputeCapability(int *major, int *minor, CUdevice device) { (void)device; *major = 8; *minor = 7; return CUDA_SUCCESS; }
CUresult cuDeviceGetAttribute(int *value, CUdevice_attribute which, CUdevice device) {
    (void)device;
    *value = which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MAJOR ? 8
             : which == CU_DEVICE_ATTRIBUTE_COMPUTE_CAPABILITY_MINOR ? 7 : 1;
    return CUDA_SUCCESS;
}
CUresult cuGetErrorString(CUresult status, const char **text) { (void)status; *text = "as the test wanted"; return CUDA_SUCCESS; }
CUresult cuGetErrorName(CUresult status, const char **text) { (void)status; *text = "CUDA_ERROR"; return CUDA_SUCCESS; }

/* Contexts. */
CUresult cuDevicePrimaryCtxRetain(CUcontext *context, CUdevice device) { (void)device; CUresult wrong = failed(__func__); primary.retained += !wrong; *context = &primary; return wrong; }
CUresult cuDevicePrimaryCtxRelease(CUdevice device) { (void)device; return primary.retained-- > 0 ? CUDA_SUCCESS : misuse(CUDA_ERROR_INVALID_CONTEXT); }
CUresult cuCtxPushCurrent(CUcontext context) {
    if (!primary.retained || current_depth == 16) return misuse(CUDA_ERROR_INVALID_CONTEXT);
    current_stack[current_depth++] = context;
    return CUDA_SUCCESS;
}
CUresult cuCtxPopCurrent(CUcontext *context) {
    if (!current_depth) return misuse(CUDA_ERROR_INVALID_CONTEXT);
    *context = current_stack[--current_depth];
    return CUDA_SUCCESS;
}
CUresult cuCtxGetCurrent(CUcontext *context) { *context = current_depth ? current_stack[current_depth - 1] : NULL; return CUDA_SUCCESS; }
CUresult cuCtxGetDevice(CUdevice *device) { IN_CONTEXT(); *device = 0; return CUDA_SUCCESS; }

/* Memory. */
static block *new_block(size_t size) {
    for (int i = 0; i < MOST; i++)
        if (!blocks[i].device) { blocks[i].size = size; return &blocks[i]; }
    abort();
}
CUresult cuMemHostAlloc(void **host, size_t size, unsigned flags) {
    IN_CONTEXT();
    if (!(flags & CU_MEMHOSTALLOC_DEVICEMAP)) return misuse(CUDA_ERROR_INVALID_VALUE);
    long offset = live.page_offset;
    int file = memfd_create("mapped", 0);
    if (file < 0 || ftruncate(file, size + offset)) return CUDA_ERROR_OUT_OF_MEMORY;
    char *one = mmap(NULL, size + offset, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    char *other = mmap(NULL, size + offset, PROT_READ | PROT_WRITE, MAP_SHARED, file, 0);
    close(file);
    memset(one, 0xA5, size + offset); /* nobody may rely on zeros */
    pthread_mutex_lock(&lock);
    block *made = new_block(size);
    made->host = one + offset, made->device = other + offset, made->mapped = 1;
    live.host_bytes += size;
    pthread_mutex_unlock(&lock);
    *host = made->host;
    return CUDA_SUCCESS;
}
CUresult cuMemFreeHost(void *host) {
    IN_CONTEXT();
    for (int i = 0; i < MOST; i++)
        if (blocks[i].mapped && blocks[i].host == host) {
            munmap((void *)((size_t)blocks[i].host & ~4095ul), blocks[i].size);
            munmap((void *)((size_t)blocks[i].device & ~4095ul), blocks[i].size);
            live.host_bytes -= blocks[i].size;
            memset(&blocks[i], 0, sizeof blocks[i]);
            return CUDA_SUCCESS;
        }
    return misuse(CUDA_ERROR_INVALID_VALUE);
}
CUresult cuMemHostGetDevicePointer(CUdeviceptr *device, void *host, unsigned flags) {
    IN_CONTEXT();
    (void)flags;
    for (int i = 0; i < MOST; i++)
        if (blocks[i].mapped && blocks[i].host == host) { *device = (CUdeviceptr)blocks[i].device; return CUDA_SUCCESS; }
    return misuse(CUDA_ERROR_INVALID_VALUE);
}
CUresult cuMemAlloc(CUdeviceptr *device, size_t size) {
    IN_CONTEXT();
    pthread_mutex_lock(&lock);
    block *made = new_block(size);
    made->device = aligned_alloc(4096, (size + 4095) & ~4095ul);
    memset(made->device, 0xA5, size);
    live.device_bytes += size;
    pthread_mutex_unlock(&lock);
    *device = (CUdeviceptr)made->device;
    return CUDA_SUCCESS;
}
CUresult cuMemFree(CUdeviceptr device) {
    IN_CONTEXT();
    for (int i = 0; i < MOST; i++)
        if (!blocks[i].mapped && blocks[i].device && blocks[i].device == (char *)device) {
            free(blocks[i].device);
            live.device_bytes -= blocks[i].size;
            memset(&blocks[i], 0, sizeof blocks[i]);
            return CUDA_SUCCESS;
        }
    return misuse(CUDA_ERROR_INVALID_VALUE);
}
CUresult cuMemGetInfo(size_t *free_bytes, size_t *total) { IN_CONTEXT(); *total = 8ul << 30; *free_bytes = *total - live.host_bytes - live.device_bytes; return CUDA_SUCCESS; }
CUresult cuMemcpyHtoD(CUdeviceptr to, const void *from, size_t size) {
    IN_CONTEXT();
    if (!fake_is_device(to, size)) return misuse(CUDA_ERROR_INVALID_VALUE);
    memcpy((void *)to, from, size);
    return CUDA_SUCCESS;
}

static int is_mapped(const void *host, size_t size) {
    int found = 0;
    pthread_mutex_lock(&lock);
    for (int i = 0; i < MOST && !found; i++)
        found = blocks[i].mapped && (const char *)host >= blocks[i].host
                && (const char *)host + size <= blocks[i].host + blocks[i].size;
    pthread_mutex_unlock(&lock);
    return found;
}

/* Streams: each is a thread. */
static double now_s(void) { struct timespec t; clock_gettime(CLOCK_MONOTONIC, &t); return t.tv_sec + 1e-9 * t.tv_nsec; }
static void carry_out(op *o) {
    switch (o->kind) {
    case SET: memset(o->to, o->value, o->width); break;
    case COPY:
        for (size_t row = 0; row < o->height; row++)
            memcpy((char *)o->to + row * o->to_pitch, (const char *)o->from + row * o->from_pitch, o->width);
        break;
    case CALL: o->call(o->to); break;
    case MARK: o->event->at_s = now_s(); __atomic_store_n(&o->event->reached, o->mark, __ATOMIC_SEQ_CST); break;
    }
}
static void *run(void *argument) {
    CUstream stream = argument;
    pthread_mutex_lock(&stream->lock);
    for (;;) {
        while (!stream->first && !stream->ending) pthread_cond_wait(&stream->changed, &stream->lock);
        op *next = stream->first;
        if (!next) break;
        stream->first = next->next;
        stream->running = 1;
        pthread_mutex_unlock(&stream->lock);
        if (delay_us) usleep(delay_us);
        while (__atomic_load_n(&hanging, __ATOMIC_SEQ_CST)) usleep(1000);
        carry_out(next);
        free(next);
        pthread_mutex_lock(&stream->lock);
        stream->running = 0;
        pthread_cond_broadcast(&stream->changed);
    }
    pthread_mutex_unlock(&stream->lock);
    return NULL;
}
static CUresult put(CUstream stream, op o) {
    if (!stream) return misuse(CUDA_ERROR_INVALID_HANDLE); /* the default stream: nothing of ours belongs there */
    op *made = malloc(sizeof o);
    *made = o;
    made->next = NULL;
    if (stream->capture) {
        if (stream->capture->count == MOST) abort();
        stream->capture->ops[stream->capture->count++] = made;
        return CUDA_SUCCESS;
    }
    pthread_mutex_lock(&stream->lock);
    if (stream->first) stream->last->next = made; else stream->first = made;
    stream->last = made;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    return CUDA_SUCCESS;
}
CUresult cuStreamCreate(CUstream *stream, unsigned flags) {
    IN_CONTEXT();
    (void)flags;
    *stream = calloc(1, sizeof **stream);
    pthread_mutex_init(&(*stream)->lock, NULL);
    pthread_cond_init(&(*stream)->changed, NULL);
    pthread_create(&(*stream)->thread, NULL, run, *stream);
    live.streams++;
    return CUDA_SUCCESS;
}
CUresult cuCtxGetStreamPriorityRange(int *least, int *greatest) { IN_CONTEXT(); *least = 0; *greatest = -5; return CUDA_SUCCESS; }
CUresult cuStreamCreateWithPriority(CUstream *stream, unsigned flags, int priority) {
    CUresult status = cuStreamCreate(stream, flags);
    if (!status) (*stream)->priority = priority < -5 ? -5 : priority > 0 ? 0 : priority;
    return status;
}
CUresult cuStreamGetPriority(CUstream stream, int *priority) { IN_CONTEXT(); *priority = stream->priority; return CUDA_SUCCESS; }
CUresult cuStreamQuery(CUstream stream) {
    IN_CONTEXT();
    pthread_mutex_lock(&stream->lock);
    int busy = stream->first || stream->running;
    pthread_mutex_unlock(&stream->lock);
    return busy ? CUDA_ERROR_NOT_READY : CUDA_SUCCESS;
}
CUresult cuStreamDestroy(CUstream stream) {
    IN_CONTEXT();
    pthread_mutex_lock(&stream->lock);
    stream->ending = 1;
    pthread_cond_broadcast(&stream->changed);
    pthread_mutex_unlock(&stream->lock);
    pthread_detach(stream->thread); /* not joined: what it calls may need the caller's lock; never freed */
    live.streams--;
    return CUDA_SUCCESS;
}
CUresult cuMemsetD8Async(CUdeviceptr to, unsigned char value, size_t size, CUstream stream) {
    IN_CONTEXT();
    if (!fake_is_device(to, size)) return misuse(CUDA_ERROR_INVALID_VALUE);
    return put(stream, (op){.kind = SET, .to = (void *)to, .value = value, .width = size});
}
/* From page-locked memory alone: from any other the real one copies by the CPU, and waits, without a word. */
CUresult cuMemcpyHtoDAsync(CUdeviceptr to, const void *from, size_t size, CUstream stream) {
    IN_CONTEXT();
    if (!fake_is_device(to, size) || !is_mapped(from, size)) return misuse(CUDA_ERROR_INVALID_VALUE);
    return put(stream, (op){.kind = COPY, .to = (void *)to, .from = from, .width = size, .height = 1});
}
CUresult cuMemcpy2DAsync(const CUDA_MEMCPY2D *c, CUstream stream) {
    IN_CONTEXT();
    if (c->srcMemoryType != CU_MEMORYTYPE_DEVICE || c->dstMemoryType != CU_MEMORYTYPE_DEVICE
        || !fake_is_device(c->srcDevice, (c->Height - 1) * c->srcPitch + c->WidthInBytes)
        || !fake_is_device(c->dstDevice, (c->Height - 1) * c->dstPitch + c->WidthInBytes))
        return misuse(CUDA_ERROR_INVALID_VALUE);
    return put(stream, (op){.kind = COPY, .to = (void *)c->dstDevice, .from = (void *)c->srcDevice,
                            .width = c->WidthInBytes, .height = c->Height,
                            .to_pitch = c->dstPitch, .from_pitch = c->srcPitch});
}
CUresult cuLaunchHostFunc(CUstream stream, CUhostFn call, void *data) { IN_CONTEXT(); return put(stream, (op){.kind = CALL, .call = call, .to = data}); }

/* Events. */
CUresult cuEventCreate(CUevent *event, unsigned flags) { IN_CONTEXT(); (void)flags; *event = calloc(1, sizeof **event); live.events++; return CUDA_SUCCESS; }
CUresult cuEventDestroy(CUevent event) { IN_CONTEXT(); (void)event; live.events--; return CUDA_SUCCESS; } /* never freed */
CUresult cuEventRecord(CUevent event, CUstream stream) { IN_CONTEXT(); return put(stream, (op){.kind = MARK, .event = event, .mark = ++event->asked}); }
CUresult cuEventQuery(CUevent event) {
    IN_CONTEXT();
    return __atomic_load_n(&event->reached, __ATOMIC_SEQ_CST) == event->asked ? CUDA_SUCCESS : CUDA_ERROR_NOT_READY;
}
CUresult cuEventElapsedTime(float *ms, CUevent start, CUevent end) {
    IN_CONTEXT();
    if (!start->asked || !end->asked) return misuse(CUDA_ERROR_INVALID_HANDLE);
    if (start->reached != start->asked || end->reached != end->asked) return CUDA_ERROR_NOT_READY;
    *ms = 1e3 * (end->at_s - start->at_s);
    return CUDA_SUCCESS;
}

/* Graphs. */
CUresult cuStreamBeginCapture(CUstream stream, CUstreamCaptureMode mode) {
    IN_CONTEXT();
    (void)mode;
    if (stream->capture) return misuse(CUDA_ERROR_ILLEGAL_STATE);
    stream->capture = calloc(1, sizeof *stream->capture);
    return CUDA_SUCCESS;
}
CUresult cuStreamEndCapture(CUstream stream, CUgraph *graph) {
    IN_CONTEXT();
    if (!stream->capture) return misuse(CUDA_ERROR_ILLEGAL_STATE);
    *graph = stream->capture;
    stream->capture = NULL;
    live.graphs++;
    return CUDA_SUCCESS;
}
CUresult cuGraphInstantiate(CUgraphExec *executable, CUgraph graph, unsigned long long flags) {
    IN_CONTEXT();
    (void)flags;
    struct CUgraph_st *made = malloc(sizeof *made);
    *made = *graph;
    *executable = (CUgraphExec)made;
    live.graphs++;
    return CUDA_SUCCESS;
}
CUresult cuGraphLaunch(CUgraphExec executable, CUstream stream) {
    IN_CONTEXT();
    live.launches++;
    struct CUgraph_st *graph = (struct CUgraph_st *)executable;
    for (int i = 0; i < graph->count; i++) put(stream, *graph->ops[i]);
    return CUDA_SUCCESS;
}
CUresult cuGraphExecDestroy(CUgraphExec executable) { IN_CONTEXT(); free(executable); live.graphs--; return CUDA_SUCCESS; }
CUresult cuGraphDestroy(CUgraph graph) { IN_CONTEXT(); free(graph); live.graphs--; return CUDA_SUCCESS; }

/* Pictures of a camera by EGL (cudaEGL.h, whose own includes are not everywhere), and the kernel that writes them as
 * RGB. An image is what nvbufsurface.c makes of a surface: it must last for as long as it is registered, and its pixels
 * belong to the device for so long. */
typedef struct { void *pixels; unsigned pitch, width, height; } egl_image;
typedef struct {
    union { CUarray pArray[3]; void *pPitch[3]; } frame;
    unsigned width, height, depth, pitch, planeCount, numChannels;
    int frameType, eglColorFormat;
    CUarray_format cuFormat;
} egl_frame;
struct CUgraphicsResource_st { egl_image *image, as_registered; block *pixels; };

CUresult cuGraphicsEGLRegisterImage(CUgraphicsResource *resource, void *image, unsigned flags) {
    IN_CONTEXT();
    (void)flags;
    *resource = calloc(1, sizeof **resource);
    (*resource)->image = image, (*resource)->as_registered = *(egl_image *)image;
    pthread_mutex_lock(&lock);
    (*resource)->pixels = new_block((size_t)((egl_image *)image)->pitch * ((egl_image *)image)->height);
    (*resource)->pixels->device = ((egl_image *)image)->pixels;
    live.egl++;
    pthread_mutex_unlock(&lock);
    return CUDA_SUCCESS;
}
CUresult cuGraphicsResourceGetMappedEglFrame(egl_frame *frame, CUgraphicsResource resource, unsigned index, unsigned mip) {
    IN_CONTEXT();
    (void)index, (void)mip;
    const egl_image *of = &resource->as_registered;
    *frame = (egl_frame){.frame.pPitch = {of->pixels}, .width = of->width, .height = of->height, .depth = 1, .pitch = of->pitch,
                         .planeCount = 1, .numChannels = 4, .frameType = 1, .cuFormat = CU_AD_FORMAT_UNSIGNED_INT8};
    return CUDA_SUCCESS;
}
CUresult cuGraphicsUnregisterResource(CUgraphicsResource resource) {
    IN_CONTEXT();
    int gone = memcmp(resource->image, &resource->as_registered, sizeof(egl_image));
    memset(resource->pixels, 0, sizeof *resource->pixels);
    free(resource);
    live.egl--;
    return gone ? misuse(CUDA_ERROR_INVALID_HANDLE) : CUDA_SUCCESS;
}

typedef struct { const unsigned char *from; unsigned char *to; unsigned pitch, width, nbytes; } picture;
static void write_rgb(void *argument) {
    picture *p = argument;
    for (unsigned i = 0; i < p->nbytes; i++)
        p->to[i] = p->from[(size_t)(i / 3 / p->width) * p->pitch + 4 * (i / 3 % p->width) + i % 3];
    free(p);
}
CUresult cuModuleLoadData(CUmodule *module, const void *image) {
    IN_CONTEXT();
    if (!strstr(image, ".visible .entry rgba_to_rgb(")) return misuse(CUDA_ERROR_INVALID_PTX);
    *module = calloc(1, 1);
    live.modules++;
    return CUDA_SUCCESS;
}
CUresult cuModuleGetFunction(CUfunction *function, CUmodule module, const char *name) {
    IN_CONTEXT();
    *function = (CUfunction)module;
    return strcmp(name, "rgba_to_rgb") ? misuse(CUDA_ERROR_NOT_FOUND) : CUDA_SUCCESS;
}
CUresult cuModuleUnload(CUmodule module) { IN_CONTEXT(); free(module); live.modules--; return CUDA_SUCCESS; }
CUresult cuLaunchKernel(CUfunction function, unsigned x, unsigned y, unsigned z, unsigned bx, unsigned by, unsigned bz,
                        unsigned shared, CUstream stream, void **values, void **extra) {
    IN_CONTEXT();
    (void)function, (void)shared, (void)extra;
    picture *p = malloc(sizeof *p);
    *p = (picture){*(void **)values[0], *(void **)values[1], *(unsigned *)values[2], *(unsigned *)values[3], *(unsigned *)values[4]};
    unsigned rows = p->nbytes / 3 / p->width;
    if (y * z * by * bz != 1 || 4ul * x * bx < p->nbytes || !fake_is_device((CUdeviceptr)p->to, p->nbytes)
        || !fake_is_device((CUdeviceptr)p->from, (size_t)(rows - 1) * p->pitch + 4 * p->width)) {
        free(p);
        return misuse(CUDA_ERROR_INVALID_VALUE);
    }
    return put(stream, (op){.kind = CALL, .call = write_rgb, .to = p});
}

/* Finds functions by name, newest version first, as cuda-bindings want. */
CUresult cuGetProcAddress(const char *name, void **function, int version, cuuint64_t flags, CUdriverProcAddressQueryResult *found) {
    (void)version, (void)flags;
    const char *suffixes[] = {"_v4", "_v3", "_v2", ""};
    Dl_info here;
    dladdr((void *)fake_count, &here);
    void *itself = dlopen(here.dli_fname, RTLD_NOW | RTLD_NOLOAD);
    *function = NULL;
    for (int i = 0; i < 4 && !*function; i++) {
        char full[128];
        snprintf(full, sizeof full, "%s%s", name, suffixes[i]);
        *function = dlsym(itself, full);
    }
    /* cuGraphInstantiate with flags goes by a name of its own. */
    if (!*function && !strcmp(name, "cuGraphInstantiate")) *function = dlsym(itself, "cuGraphInstantiateWithFlags");
    if (found) *found = *function ? CU_GET_PROC_ADDRESS_SUCCESS : CU_GET_PROC_ADDRESS_SYMBOL_NOT_FOUND;
    return *function ? CUDA_SUCCESS : CUDA_ERROR_NOT_FOUND;
}
