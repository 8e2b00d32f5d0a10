"""Pictures in the memory of a Jetson's camera, for CUDA: registered by EGL, written into the ring by the GPU.

PyCUDA has no EGL interop, so this is the second module that imports cuda-bindings. It works within the context and the
streams of `runtime.gpu.protocol.Gpu`.
"""

from __future__ import annotations

import ctypes
from dataclasses import dataclass, field
from typing import Any

import numpy as np
from numpy.typing import NDArray

from tremorscope.runtime.errors import EngineFault
from tremorscope.runtime.gpu.cuda_bindings import UrgentStream
from tremorscope.runtime.gpu.protocol import CudaEvent, Gpu, Stream, Waited, wait_for

_BLOCK = 256
_LONGEST_S = 2.0
_EXPECTED_S = 0.0003
_KERNEL = b"rgba_to_rgb"
# Each thread makes four neighbouring bytes of the packed RGB picture, so that writes are aligned and in order
# whatever the width; the reads of a warp lie in one line of the cache. ISA 7.0 is understood by every driver of CUDA 11
# and later, and translated for the GPU at hand when it is loaded.
_PTX = b"""
.version 7.0
.target sm_75
.address_size 64

.visible .entry rgba_to_rgb(
    .param .u64 source, .param .u64 target, .param .u32 pitch, .param .u32 width, .param .u32 nbytes)
{
    .reg .pred %p<3>;
    .reg .b32 %r<20>;
    .reg .b64 %a<6>;

    ld.param.u64 %a0, [source];
    ld.param.u64 %a1, [target];
    ld.param.u32 %r0, [pitch];
    ld.param.u32 %r1, [width];
    ld.param.u32 %r2, [nbytes];
    cvta.to.global.u64 %a0, %a0;
    cvta.to.global.u64 %a1, %a1;

    mov.u32 %r3, %ctaid.x;
    mov.u32 %r4, %ntid.x;
    mov.u32 %r5, %tid.x;
    mad.lo.u32 %r6, %r3, %r4, %r5;
    shl.b32 %r6, %r6, 2;                 // first byte of this thread
    setp.ge.u32 %p0, %r6, %r2;
    @%p0 bra DONE;

    mov.u32 %r7, 0;                      // the word that is made
    mov.u32 %r8, 0;                      // which byte of it, in bits
NEXT:
    shr.u32 %r9, %r8, 3;
    add.u32 %r9, %r9, %r6;               // byte of the RGB picture
    setp.ge.u32 %p1, %r9, %r2;
    @%p1 bra TAIL;
    div.u32 %r10, %r9, 3;                // pixel
    mul.lo.u32 %r11, %r10, 3;
    sub.u32 %r11, %r9, %r11;             // channel
    div.u32 %r12, %r10, %r1;             // row
    mul.lo.u32 %r13, %r12, %r1;
    sub.u32 %r13, %r10, %r13;            // column
    shl.b32 %r13, %r13, 2;
    add.u32 %r13, %r13, %r11;
    mul.wide.u32 %a2, %r12, %r0;
    cvt.u64.u32 %a3, %r13;
    add.u64 %a2, %a2, %a3;
    add.u64 %a2, %a0, %a2;
    ld.global.u8 %r14, [%a2];
    shl.b32 %r14, %r14, %r8;
    or.b32 %r7, %r7, %r14;
    add.u32 %r8, %r8, 8;
    setp.lt.u32 %p2, %r8, 32;
    @%p2 bra NEXT;

    cvt.u64.u32 %a4, %r6;
    add.u64 %a4, %a1, %a4;
    st.global.u32 [%a4], %r7;
    bra DONE;

TAIL:                                    // the last word is not whole: its bytes one by one
    shr.u32 %r15, %r8, 3;                // how many there are
    mov.u32 %r16, 0;
WRITE:
    shl.b32 %r17, %r16, 3;
    shr.u32 %r18, %r7, %r17;
    add.u32 %r19, %r6, %r16;
    cvt.u64.u32 %a4, %r19;
    add.u64 %a4, %a1, %a4;
    st.global.u8 [%a4], %r18;
    add.u32 %r16, %r16, 1;
    setp.lt.u32 %p2, %r16, %r15;
    @%p2 bra WRITE;
DONE:
    ret;
}
\x00"""


@dataclass(frozen=True)
class DevicePicture:
    """RGBA picture with 8 bits a channel, in memory that the GPU reads."""

    address: int
    """Device address of the first pixel."""
    pitch_bytes: int
    """Distance from one row to the next."""
    width_px: int
    height_px: int
    resource: Any = field(default=None, compare=False, repr=False)
    """CUDA graphics resource of its registration; None where none was needed."""


class EglPictures:
    """Registers pictures and has the GPU write them into mapped memory. One thread uses it."""

    def __init__(self, gpu: Gpu) -> None:
        """Prepare the GPU.

        Raises:
            EngineFault: cuda-bindings are not installed or not for this CUDA, or the GPU refuses.
        """
        try:
            from cuda.bindings import driver
        except ImportError as error:
            raise EngineFault(
                f"cuda-bindings cannot be loaded ({error})",
                remedy="pip install 'cuda-bindings==12.*' on JetPack 6, 'cuda-bindings==13.*' on JetPack 7",
            ) from None
        self._driver, self._gpu = driver, gpu
        with gpu.current():
            self._module = _checked(driver, driver.cuModuleLoadData(_PTX), "load its kernel")
            self._kernel = _checked(
                driver, driver.cuModuleGetFunction(self._module, _KERNEL), "find its kernel"
            )
            self._stream: Stream | None = gpu.stream()
            self._done: CudaEvent = gpu.event()
            self._urgent = UrgentStream(driver)

    def register(self, egl_image: int, width_px: int, height_px: int) -> DevicePicture:
        """Make an EGLImage known to CUDA, once for each buffer of the camera's pool.

        Raises:
            EngineFault: CUDA refuses it, or it is not one plane of rows.
        """
        driver = self._driver
        with self._gpu.current():
            flags = driver.CUgraphicsRegisterFlags.CU_GRAPHICS_REGISTER_FLAGS_NONE.value
            resource = _checked(
                driver,
                driver.cuGraphicsEGLRegisterImage(driver.EGLImageKHR(egl_image), flags),
                "register the camera's buffer",
            )
            frame = _checked(
                driver, driver.cuGraphicsResourceGetMappedEglFrame(resource, 0, 0), "map the camera's buffer"
            )
            if frame.frameType != driver.CUeglFrameType.CU_EGL_FRAME_TYPE_PITCH or frame.planeCount != 1:
                driver.cuGraphicsUnregisterResource(resource)
                raise EngineFault(
                    f"the camera's buffer is not one pitched plane ({frame.frameType.name}, {frame.planeCount} planes)",
                    remedy="use memory: copy",
                )
            return DevicePicture(int(frame.frame.pPitch[0]), int(frame.pitch), width_px, height_px, resource)

    def unregister(self, picture: DevicePicture) -> None:
        """Unregister a picture; the GPU must be done with it."""
        if picture.resource is not None:
            with self._gpu.current():
                self._driver.cuGraphicsUnregisterResource(picture.resource)

    def write(self, picture: DevicePicture, pixels: NDArray[np.uint8]) -> None:
        """Let the GPU write a picture into ``pixels``, u8[H, W, 3] RGB or u8[H, W, 4], contiguous, in mapped memory.

        It is whole when this returns, for the CPU and the GPU.

        Raises:
            ValueError: ``pixels`` does not lie in mapped memory, or has another size.
            EngineFault: the GPU failed, or did not finish in time.
        """
        if pixels.shape[:2] != (picture.height_px, picture.width_px):
            raise ValueError(f"a slot of shape {pixels.shape} does not take {picture}")
        assert self._stream is not None, "used after it was closed"
        with self._gpu.current():
            done: Waited = self._urgent
            if pixels.shape[2] == 4:
                self._gpu.fetch_picture(picture.address, picture.pitch_bytes, pixels, self._stream)
                self._done.record(self._stream)
                done = self._done
            else:
                self._launch(picture, self._gpu.device_address(pixels), pixels.nbytes)
            if not wait_for(done, expected_s=_EXPECTED_S, limit_s=_LONGEST_S):
                raise EngineFault(
                    f"the GPU did not write a picture within {_LONGEST_S:g} s", remedy="restart the service"
                )

    def close(self) -> None:
        """Free stream and kernel; closing twice is harmless."""
        stream, self._stream = self._stream, None
        if stream is not None:
            with self._gpu.current():
                self._done.free()
                self._urgent.free()
                stream.free()
                self._driver.cuModuleUnload(self._module)

    def _launch(self, picture: DevicePicture, target: int, nbytes: int) -> None:
        values = (picture.address, target, picture.pitch_bytes, picture.width_px, nbytes)
        kinds = (ctypes.c_uint64, ctypes.c_uint64, ctypes.c_uint32, ctypes.c_uint32, ctypes.c_uint32)
        blocks = -(-nbytes // (4 * _BLOCK))
        _checked(
            self._driver,
            self._driver.cuLaunchKernel(
                self._kernel, blocks, 1, 1, _BLOCK, 1, 1, 0, self._urgent.handle, (values, kinds), 0
            ),
            "start writing a picture",
        )


def _checked(driver: Any, answer: tuple[Any, ...], what: str) -> Any:
    status, *values = answer
    if status != driver.CUresult.CUDA_SUCCESS:
        raise EngineFault(f"the GPU refused to {what} ({status.name})", remedy="use memory: copy")
    return values[0] if values else None
