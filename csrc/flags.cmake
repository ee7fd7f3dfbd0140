# Flags that everything in C takes, by compiler.

# The numerics contract (docs/spec/numerics.md): every operation rounds by itself. GNU-mode compilers contract a*b+c by
# default. MSVC's /fp:precise does not, from Visual Studio 2022 on; before, it may, and /fp:strict is the way to say no.
if(MSVC AND NOT CMAKE_C_COMPILER_ID MATCHES "Clang")
  if(MSVC_VERSION GREATER_EQUAL 1930)
    set(AETHER_CONTRACT /fp:precise)
  else()
    set(AETHER_CONTRACT /fp:strict)
  endif()
  set(AETHER_WARNINGS /W3)
  set(AETHER_AVX2 /arch:AVX2)
  set(AETHER_AVX512 /arch:AVX512)
elseif(MSVC) # clang-cl
  set(AETHER_CONTRACT /fp:precise /clang:-ffp-contract=off)
  set(AETHER_WARNINGS -Wall -Wextra)
  set(AETHER_AVX2 -mavx2 -mf16c)
  set(AETHER_AVX512 -mavx512f -mavx512bw -mavx512dq -mavx512vl -mf16c)
else()
  set(AETHER_CONTRACT -ffp-contract=off)
  set(AETHER_WARNINGS -Wall -Wextra -Wconversion -Wdouble-promotion -Wshadow -Wstrict-prototypes -Wvla)
  set(AETHER_AVX2 -mavx2 -mf16c)
  set(AETHER_AVX512 -mavx512f -mavx512bw -mavx512dq -mavx512vl)
endif()
if(AETHER_WERROR)
  list(APPEND AETHER_WARNINGS $<IF:$<C_COMPILER_ID:MSVC>,/WX,-Werror>)
endif()

# Other processors have no such flags, and compile these files to nothing.
if(CMAKE_SYSTEM_PROCESSOR MATCHES "^(x86_64|AMD64|amd64)$" AND NOT CMAKE_OSX_ARCHITECTURES MATCHES "arm64")
  set(AETHER_X86_64 TRUE)
else()
  set(AETHER_X86_64 FALSE)
endif()
