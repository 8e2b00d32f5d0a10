/* A stand-in for libnvbufsurface.so: the structures as nvbufsurface.h documents them, so that the compiler says
 * where each field lies, and the two functions that we call. LATER is the bytes that L4T 39 added at the end. */

#include <stdbool.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>

#define PLANES 4
#define PADDING 4

typedef struct {
    uint32_t num_planes;
    uint32_t width[PLANES], height[PLANES], pitch[PLANES], offset[PLANES], psize[PLANES], bytesPerPix[PLANES];
    void *reserved[PADDING * PLANES];
} PlaneParams;

typedef struct {
    void *addr[PLANES];
    void *eglImage;
    void *reserved[PADDING];
} MappedAddr;

typedef struct {
    uint32_t width, height, pitch;
    int colorFormat, layout;
    uint64_t bufferDesc;
    uint32_t dataSize;
    void *dataPtr;
    PlaneParams planeParams;
    MappedAddr mappedAddr;
    void *paramex;
    void *reserved[PADDING - 1];
#ifdef LATER
    uint8_t later[LATER];
#endif
} SurfaceParams;

typedef struct {
    uint32_t gpuId, batchSize, numFilled;
    bool isContiguous;
    int memType;
    SurfaceParams *surfaceList;
    void *reserved[PADDING];
} Surface;

/* What an EGLImage of this stand-in is: where the pixels are, and how long a row is. */
typedef struct {
    void *pixels;
    uint32_t pitch, width, height;
} Image;

static int mapped, failing;

int NvBufSurfaceMapEglImage(Surface *surface, int index) {
    SurfaceParams *params = &surface->surfaceList[index];
    if (failing)
        return -1;
    Image *image = malloc(sizeof *image);
    image->pixels = *(void **)params->mappedAddr.reserved; /* the pixels are no business of the CPU */
    image->pitch = params->pitch;
    image->width = params->width;
    image->height = params->height;
    params->mappedAddr.eglImage = image;
    mapped++;
    return 0;
}

/* nvbufsurface.h: "Destroys the previously created EGLImage object(s)"; an image that nobody destroys stays. */
int NvBufSurfaceUnMapEglImage(Surface *surface, int index) {
    SurfaceParams *params = &surface->surfaceList[index];
    if (!params->mappedAddr.eglImage)
        return -1;
    memset(params->mappedAddr.eglImage, 0xff, sizeof(Image)); /* whoever still uses it is to fall over it */
    free(params->mappedAddr.eglImage);
    params->mappedAddr.eglImage = NULL;
    mapped--;
    return 0;
}

int fake_mapped(void) { return mapped; }
void fake_fail(int fails) { failing = fails; }
int fake_params_size(void) { return (int)sizeof(SurfaceParams); }
int fake_surface_size(void) { return (int)sizeof(Surface); }

/* A surface of one RGBA picture; its pixels are known to the EGLImage alone, or to dataPtr in CUDA's memory. */
Surface *fake_make(uint32_t width, uint32_t height, uint32_t pitch, int mem_type, uint64_t desc, int batch) {
    Surface *surface = calloc(1, sizeof *surface);
    SurfaceParams *params = calloc(batch, sizeof *params);
    memset(params, 0, sizeof *params * batch);
    surface->batchSize = batch;
    surface->numFilled = 1;
    surface->isContiguous = true;
    surface->memType = mem_type;
    surface->surfaceList = params;
    params->width = width;
    params->height = height;
    params->pitch = pitch;
    params->colorFormat = 19; /* NVBUF_COLOR_FORMAT_RGBA */
    params->bufferDesc = desc;
    params->dataSize = pitch * height;
    void *pixels = calloc(pitch, height);
    *(void **)params->mappedAddr.reserved = pixels;
    params->dataPtr = mem_type >= 1 && mem_type <= 3 ? pixels : (void *)0x10;
    params->planeParams.num_planes = 1;
    params->planeParams.width[0] = width;
    params->planeParams.height[0] = height;
    params->planeParams.pitch[0] = pitch;
    params->planeParams.bytesPerPix[0] = 4;
    return surface;
}

void *fake_pixels(Surface *surface) { return *(void **)surface->surfaceList->mappedAddr.reserved; }
