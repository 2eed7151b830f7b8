"""Compiles CUDA sources with NVRTC as the program does, for sm_80 and sm_90, without a GPU.

    nvrtc.py SOURCE.cu ...

The folder of libnvrtc must be in LD_LIBRARY_PATH. Ends with status 1 if a source does not compile.
"""

import concurrent.futures
import ctypes
import pathlib
import sys
import time

nvrtc = ctypes.CDLL("libnvrtc.so.13")


def call(name, *arguments):
    status = getattr(nvrtc, name)(*arguments)
    if status != 0:
        raise RuntimeError(f"{name} gives {status}")


def machine_code_bytes(path, arch):
    """Bytes of machine code, or what the compiler says."""
    program, n = ctypes.c_void_p(), ctypes.c_size_t()
    call("nvrtcCreateProgram", ctypes.byref(program), path.read_bytes(), b"kernels.cu", 0, None, None)
    options = (ctypes.c_char_p * 1)(f"--gpu-architecture={arch}".encode())
    if nvrtc.nvrtcCompileProgram(program, 1, options) != 0:
        call("nvrtcGetProgramLogSize", program, ctypes.byref(n))
        log = ctypes.create_string_buffer(n.value)
        call("nvrtcGetProgramLog", program, log)
        return log.value.decode()
    call("nvrtcGetCUBINSize", program, ctypes.byref(n))
    call("nvrtcDestroyProgram", ctypes.byref(program))
    return n.value


def main(paths):
    major, minor = ctypes.c_int(), ctypes.c_int()
    call("nvrtcVersion", ctypes.byref(major), ctypes.byref(minor))
    start, failed = time.monotonic(), 0
    jobs = [(path, arch) for path in map(pathlib.Path, paths) for arch in ("sm_80", "sm_90")]
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for (path, arch), result in zip(jobs, pool.map(lambda job: machine_code_bytes(*job), jobs)):
            if not isinstance(result, int) or result == 0:
                failed += 1
                print(f"{path.name} for {arch}: {result}", file=sys.stderr)
    print(f"NVRTC {major.value}.{minor.value}: {len(jobs) - failed} of {len(jobs)} compilations "
          f"in {time.monotonic() - start:.0f} s")
    return min(failed, 1)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
