# CMake's toolchain for 64-bit ARM on another Debian machine, with gcc-aarch64-linux-gnu and the folder that sysroot.sh made:
#   cmake -S . -B BUILD -G Ninja --toolchain tests/cross/aarch64.cmake -D LD_SYSROOT=FOLDER
set(CMAKE_SYSTEM_NAME Linux)
set(CMAKE_SYSTEM_PROCESSOR aarch64)
set(CMAKE_C_COMPILER aarch64-linux-gnu-gcc)
set(LD_SYSROOT "" CACHE PATH "The folder that tests/cross/sysroot.sh made")
set(CMAKE_TRY_COMPILE_PLATFORM_VARIABLES LD_SYSROOT)
set(CMAKE_SYSROOT ${LD_SYSROOT})
set(CMAKE_CROSSCOMPILING_EMULATOR qemu-aarch64 -L ${CMAKE_SYSROOT})
set(CMAKE_FIND_ROOT_PATH_MODE_PROGRAM NEVER)
set(CMAKE_FIND_ROOT_PATH_MODE_LIBRARY ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_INCLUDE ONLY)
set(CMAKE_FIND_ROOT_PATH_MODE_PACKAGE ONLY)

set(lib ${CMAKE_SYSROOT}/usr/lib/aarch64-linux-gnu)
set(ENV{PKG_CONFIG_SYSROOT_DIR} ${CMAKE_SYSROOT})
set(ENV{PKG_CONFIG_LIBDIR} ${lib}/pkgconfig:${CMAKE_SYSROOT}/usr/share/pkgconfig)
set(ENV{PKG_CONFIG_PATH} "")

# This machine's mpicc and h5cc must not be asked.
set(MPI_SKIP_COMPILER_WRAPPER ON)
set(MPI_C_HEADER_DIR ${lib}/openmpi/include CACHE PATH "")
set(MPI_C_LIB_NAMES mpi CACHE STRING "")
set(MPI_mpi_LIBRARY ${lib}/openmpi/lib/libmpi.so CACHE FILEPATH "")
set(HDF5_C_COMPILER_EXECUTABLE NONE CACHE FILEPATH "")
set(HDF5_C_INCLUDE_DIR ${CMAKE_SYSROOT}/usr/include/hdf5/serial CACHE PATH "")
set(HDF5_C_LIBRARY_hdf5 ${lib}/libhdf5_serial.so CACHE FILEPATH "")
